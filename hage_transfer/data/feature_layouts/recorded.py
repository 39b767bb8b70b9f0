"""What a feature file of another tool records of itself, what the user says of it, and what stays unknown."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.feature_layouts.folders import slide_of_file
from hage_transfer.errors import DataError

UNKNOWN = "unknown"

OPTIONS = {
    "encoder": "encoder_name=",
    "encoder_sha256": "encoder_sha256=",
    "encoder_licence": "licence=",
    "precision": "precision=",
    "mpp_um_per_px": "mpp_um_per_px=",
    "patch_size_px": "patch_size_px=",
    "patch_size_level0_px": "patch_size_level0_px=",
}
"""Option of `hage convert` that says each fact, by the name of the attribute."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the user says of files that do not say it; None: nothing said. Names and units as in ``FeatureMeta``.

    Attributes:
        slide_mpp_um_per_px: level-0 resolution of the slides, for coords in um.
        dataset: name of the rows, where it is neither ``features`` nor ``feats``.
    """

    encoder: str | None = None
    encoder_sha256: str | None = None
    encoder_licence: str | None = None
    precision: str | None = None
    mpp_um_per_px: float | None = None
    patch_size_px: int | None = None
    patch_size_level0_px: int | None = None
    slide_mpp_um_per_px: float | None = None
    dataset: str | None = None

    def said(self) -> dict[str, Any]:
        """The facts of ``FeatureMeta`` that are said, by name."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}


def is_unknown(value: object) -> bool:
    """Whether an attribute of ``FeatureMeta`` says that the fact is not known (for lengths, None or 0)."""
    return value in (None, 0) or str(value).split(":")[0] == UNKNOWN


def unknown_facts(meta: FeatureMeta) -> list[str]:
    """Names of the facts that neither the file nor the user said."""
    return [name for name in OPTIONS if is_unknown(getattr(meta, name))]


def complete_own(path: Path, meta: FeatureMeta, given: Given) -> FeatureMeta:
    """Own attributes with the unknown ones filled in.

    Raises:
        DataError: the user says something else than the file.
    """
    for name, value in given.said().items():
        met = getattr(meta, name)
        if not is_unknown(met) and met != value:
            raise DataError(f"{path}: records {name} {met}, {OPTIONS[name]} says {value}; leave the option out")
    return replace(meta, **given.said())


def foreign_meta(
    path: Path,
    *,
    recorded: dict[str, Any],
    given: Given,
    inputs: str,
) -> FeatureMeta:
    """Attributes for a file that has none of ours. The user's word on the encoder stands above the file's.

    Nothing is guessed: a magnification gives no um per px, a file's type no precision. Weights that are not known
    are known to be those of their folder, so that rows of two unknown encoders never pass for rows of one.

    Args:
        path: the file; its name is the slide's.
        recorded: what the file says: ``encoder``, ``patch_size_px``, ``patch_size_level0_px`` (0: nothing).
        given: what the user says.
        inputs: stamp of the file, for ``config_sha256``.

    Raises:
        DataError: a patch size that the file records otherwise.
    """
    said = given.said()
    for name in ("patch_size_px", "patch_size_level0_px"):
        met, value = recorded.get(name), said.get(name)
        if met and value is not None and met != value:
            raise DataError(f"{path}: records {name} {met}, {OPTIONS[name]} says {value}; leave the option out")
    values: dict[str, Any] = {
        "encoder": UNKNOWN,
        "encoder_sha256": _unknown_weights(path),
        "encoder_licence": UNKNOWN,
        "precision": UNKNOWN,
        "mpp_um_per_px": None,
        "patch_size_px": 0,
        "patch_size_level0_px": 0,
        **{name: value for name, value in recorded.items() if value},
        **said,
    }
    return FeatureMeta(source=slide_of_file(path), config_sha256=hashlib.sha256(inputs.encode()).hexdigest(), **values)


def _unknown_weights(path: Path) -> str:
    folder = path.resolve().parent
    if folder.name in ("h5_files", "pt_files"):  # CLAM writes the same rows into both
        folder = folder.parent
    return f"{UNKNOWN}:{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def own_attributes(attributes: Any) -> bool:
    """Whether h5 attributes are those of this project's feature file, whole or damaged."""
    return any(name in attributes for name in ("schema_version", "encoder_sha256", "config_sha256"))
