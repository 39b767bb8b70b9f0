"""The model card of an encoder directory, written from its ``config.json``: README.md with the hub's front matter."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

TAGS = ("pathology", "histology", "spatial-transcriptomics", "gene-expression", "hage")
_HUB_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0")
_NO_DERIVATIVES = re.compile(r"(?<![a-z])(nd|no[ -]?deriv\w*)(?![a-z])", re.IGNORECASE)
_COLUMNS = {"PCC, all genes": "pcc_all", "PCC, 50 HEG": "pcc_heg50", "MSE": "mse", "MAE": "mae"}
_METHODS = {
    "trial": "this encoder",
    "hage_averaged": "the fold's trials, averaged",
    "bagged_reduced_rank_ridge_averaged": "reduced-rank ridge on the trials' spots, averaged likewise",
    "ridge": "ridge on the same features",
    "reduced_rank_ridge": "reduced-rank ridge on the same features",
    "gene_mean": "gene mean of the training spots",
    "gene_median": "gene median of the training spots",
    "all_zero": "zero everywhere",
    "spot_depth": "spot depth (reads the test spots' counts)",
}


def forbids_derivatives(licence: str) -> bool:
    """Whether a licence's name says that derivatives may not be passed on: ``CC-BY-NC-ND-4.0`` and the like.

    A rule of thumb on the name, no legal reading of the terms.
    """
    return _NO_DERIVATIVES.search(licence) is not None


def is_known_licence(licence: str) -> bool:
    """Whether anything was recorded of the frozen encoder's licence."""
    return licence.strip().lower() not in ("", "unknown", "none")


def model_card(card: Mapping[str, Any]) -> str:
    """README.md of an encoder directory.

    Args:
        card: what ``config.json`` holds; what it lacks is written as unknown, never guessed.
    """
    name = name_of(card)
    parts = [
        f"# {_title(card)} on {name}",
        f"Takes features of the frozen encoder **{name}** ({card.get('feature_dim')} numbers a patch) and gives "
        f"{card.get('embed_dim')}-number embeddings{_origin(card)}",
        _usage(card),
        _training(card),
        _scores(card),
        _frozen(card),
        _limits(card),
    ]
    return f"---\n{_front_matter(card)}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def made_by(card: Mapping[str, Any]) -> str:
    """What made an encoder: ``hage``, a compared system, or a control by name."""
    return str(card.get("made_by", "hage"))


def is_control(card: Mapping[str, Any]) -> bool:
    """Whether an encoder is there for others to be compared with, and is nothing to use."""
    return card.get("role") == "control"


def _title(card: Mapping[str, Any]) -> str:
    if is_control(card):
        return f"Control encoder `{made_by(card)}`"
    return "Gene-informed encoder" if made_by(card) == "hage" else f"Image encoder of {made_by(card)}"


def _origin(card: Mapping[str, Any]) -> str:
    about = card.get("about")
    if about:
        return f". {about}"
    return ", trained as HAGE (Dang et al., MICCAI 2025) on spatial transcriptomics by hage-transfer."


def _front_matter(card: Mapping[str, Any]) -> str:
    hub = card.get("frozen_encoder_hub")
    matter: dict[str, Any] = {"library_name": "hage-transfer"}
    matter |= hub_licence(_text(card, "frozen_encoder_licence"), name_of(card), hub=hub)
    if hub:
        matter["base_model"] = hub
    return yaml.safe_dump(matter | {"tags": list(TAGS)}, sort_keys=False)


def hub_licence(licence: str, encoder: str, *, hub: str | None = None) -> dict[str, str]:
    """What the hub's front matter says of a frozen encoder's licence: one that it knows, or ``other`` by name.

    Args:
        licence: of its weights.
        encoder: its name.
        hub: its repository, if it has one.
    """
    if licence.lower() in _HUB_LICENCES:
        return {"license": licence.lower()}
    named = {"license": "other", "license_name": f"as-{re.sub(r'[^a-z0-9.]+', '-', encoder.lower())}"}
    return named | ({"license_link": f"https://huggingface.co/{hub}"} if hub else {})


def name_of(card: Mapping[str, Any]) -> str:
    """The frozen encoder's name."""
    return _text(card, "frozen_encoder")


def _usage(card: Mapping[str, Any]) -> str:
    predicts = (
        f"`ExpressionModel.from_pretrained` predicts the expression of its {len(card['panel'])} genes from the same\n"
        "features. "
        if card.get("panel") and made_by(card) == "hage"
        else ""
    )
    return f"""## Load it

```python
from hage_transfer import open_encoder
encoder = open_encoder("ORG/NAME")  # this folder, or its name on the hub
embeddings = encoder(features)  # (patch, {card.get("feature_dim")}) -> (patch, {card.get("embed_dim")})
```

{predicts}Features come from `hage encode` with `encoder.name={name_of(card)}`, on patches of
{_text(card, "patch_size_px")} px; features of another encoder, or of other weights, are refused."""


def _training(card: Mapping[str, Any]) -> str:
    spots, left_out = card.get("train_spots"), card.get("spots_left_out")
    held_out = _some(card.get("held_out_sections", []))
    rows = {
        "sections": _some(card.get("train_sections", [])) + (f" ({spots:,} spots)" if spots else ""),
        **({f"spots below {card.get('min_counts')} counts, left out": _counts(left_out)} if left_out else {}),
        "held out": f"{_text(card, 'fold')}, by {_text(card, 'split_unit')}: {held_out}",
        "genes": f"{len(card.get('panel', []))}; embeddings: {_text(card, 'gene_embeddings_source')}",
        "normalisation preset": _text(card, "preset"),
        "trial, seed": f"{_text(card, 'trial')}, {_text(card, 'seed')}",
        "validation PCC (chose the epoch)": _text(card, "validation_pcc"),
        "images": "synthetic data, made by a generator" if card.get("synthetic") else "real, as far as is recorded",
        "config (sha256)": f"`{_text(card, 'config_sha256')}`",
        "written by": f"hage-transfer {_text(card, 'hage_transfer')}",
    }
    return "## Trained on\n\n| | |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in rows.items())


def _counts(left_out: Mapping[str, int]) -> str:
    return _some([f"{name} {count}" for name, count in left_out.items()])


def _scores(card: Mapping[str, Any]) -> str:
    held_out = card.get("held_out")
    if made_by(card) != "hage":
        return ""
    if not held_out:
        return "## Held-out scores\n\nNone yet: they are written when the whole run has ended."
    lines = [f"| | {' | '.join(_COLUMNS)} |", "|---|" + "---|" * len(_COLUMNS)]
    for method, title in _METHODS.items():
        found = held_out["scores"].get(method)
        if found:
            lines.append(f"| {title} | " + " | ".join(_number(found.get(key)) for key in _COLUMNS.values()) + " |")
    notes = "".join(f"\n- {warning}" for warning in held_out.get("warnings", []))
    return (
        f"## Held-out scores\n\nSections {_some(card.get('held_out_sections', []))}, which trained nothing here; PCC "
        "inside each section, then averaged; errors of calibrated predictions.\n\n" + "\n".join(lines)
    ) + (f"\n\nOf the whole run:\n{notes}" if notes else "")


def _frozen(card: Mapping[str, Any]) -> str:
    licence = _text(card, "frozen_encoder_licence")
    hub = card.get("frozen_encoder_hub")
    where = f" ([{hub}](https://huggingface.co/{hub}))" if hub else ""
    text = (
        f"## Frozen encoder and licence\n\n{name_of(card)}{where}, weights sha256 "
        f"`{_text(card, 'frozen_encoder_sha256')}`. Its weights are not in here. Licence: **{licence}**. A model "
        "trained on an encoder's features inherits the terms of its licence."
    )
    if forbids_derivatives(licence):
        text += (
            " These forbid passing derivatives on, and its authors may count a model trained on its outputs as one: "
            "whoever shares this directory needs their permission."
        )
    elif not is_known_licence(licence):
        text += " It was not recorded: find it out before you share or use this."
    return text


def _limits(card: Mapping[str, Any]) -> str:
    if made_by(card) != "hage":
        return f"""## Intended use and limits

For research: {
            "a control, which a gain of gene-informed embeddings must stand beside"
            if is_control(card)
            else "embeddings to compare with others"
        } under the same probe, folds and seeds. Not for diagnosis."""
    return """## Intended use and limits

For research: comparing gene-informed embeddings with the frozen encoder's features under the same probe, folds and
seeds, and maps of predicted expression. Not for diagnosis. Trust predictions only as far as the held-out scores above,
on tissue, stain and scanner like those of the training sections; part of a correlation is owed to sequencing depth.
Whether the genes as such help is a question for controls: attention sums over a set of genes, so exchanging two genes'
embeddings changes nothing."""


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(str, names)) or "unknown"


def _text(card: Mapping[str, Any], key: str) -> str:
    value = card.get(key)
    return "unknown" if value is None or value == "" else str(value)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
