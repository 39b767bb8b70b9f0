"""What a comparison must be warned of: patients that an encoder trained on, and pixels of another size."""

from collections.abc import Mapping, Sequence
from typing import Any

from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import some

MOST_SCALE = 0.1
_NAMED = 3


def scale_fault(meta: FeatureMeta, trained_um_per_px: float | None, *, encoder: str) -> str | None:
    """Says where features' um/px differ from what an encoder was trained at by more than a tenth; else None.

    Args:
        meta: of the features.
        trained_um_per_px: what the encoder was trained at; None where its directory does not say.
        encoder: its name, for the message.
    """
    met = meta.mpp_um_per_px
    if met is None or trained_um_per_px is None or abs(met / trained_um_per_px - 1) <= MOST_SCALE:
        return None
    return (
        f"{encoder} was trained at {trained_um_per_px:.3g} um per px, these features are at {met:.3g}: nuclei look "
        f"{trained_um_per_px / met:.2g} times as large to it; encode at the same resolution (data.mpp_um_per_px)"
    )


def guard_warnings(features: Mapping[str, Sequence[Mapping[str, Any]]], labels: LabelTable) -> list[str]:
    """Of the embeddings that are compared.

    Args:
        features: what each source's files say of themselves (``FeatureMeta``), as in the meta of results.
        labels: that they are compared on; its groups and names are held against the encoder's training patients.
    """
    found: dict[str, None] = {}
    for source, files in features.items():
        for tree in files:
            meta = FeatureMeta(**{name: value for name, value in tree.items() if name != "path"})
            fault = scale_fault(meta, meta.trained_um_per_px, encoder=source)
            shared = sorted(set(meta.trained_on.splitlines()) & _names(labels))
            if fault is not None:
                found[f"{source}: {fault}" if not fault.startswith(source) else fault] = None
            if shared:
                found[
                    f"{source}: {len(shared)} groups or slides carry the names of patients or sections that its "
                    f"encoder was trained on ({some(shared, _NAMED)}); if they are the same, leave them out of one side"
                ] = None
    return list(found)


def _names(labels: LabelTable) -> set[str]:
    """Groups, and names of slides or images without folder, tile and ending."""
    keys = {key.partition("#")[0].rpartition("/")[2].partition(".")[0] for key in labels.keys.tolist()}
    return keys | (set() if labels.groups is None else set(labels.groups.tolist()))
