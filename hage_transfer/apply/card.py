"""The model card of a classifier directory, written from its ``classifier.json``."""

from collections.abc import Mapping
from typing import Any

import yaml

from hage_transfer.apply.classifier import what_of
from hage_transfer.models.model_card import forbids_derivatives, hub_licence, is_known_licence

_LIMITS = """## Limits

For research, not for diagnosis. Its probabilities are those of patients, tissue, stain and scanner like the training
cohort's; `doubt` in `scores.csv` says where a slide is not like them. Thresholds and calibration hold for the training
cohort's share of classes; where yours differs, set the operating point anew."""
_VALUE_LIMITS = """## Limits

For research, not for diagnosis. Its predictions are those of patients, tissue, stain and scanner like the training
cohort's; `doubt` in `scores.csv` says where a slide is not like them. They have no operating point; their calibration
is the training cohort's own: validate them (`labels=`) where you mean to use them."""
_HELD_OUT = """## Held-out results

Of single models, on patients that did not train them.

| | mean over folds | std |
|---|---|---|
"""
TAGS = ("pathology", "histology", "whole-slide-images", "hage")


def classifier_card(facts: Mapping[str, Any]) -> str:
    """README.md of a classifier directory.

    Args:
        facts: what ``classifier.json`` holds.
    """
    matter = {"library_name": "hage-transfer", **hub_licence(facts["licence"]["licence"], facts["licence"]["encoder"])}
    parts = [
        f"# {what_of(facts)}: {facts['kind']} on {facts['features']['encoder']}",
        _usage(facts),
        _training(facts),
        _scores(facts),
        _licence(facts),
        _VALUE_LIMITS if facts.get("target") else _LIMITS,
    ]
    return f"---\n{yaml.safe_dump(matter | {'tags': list(TAGS)}, sort_keys=False)}---\n\n" + "\n\n".join(parts) + "\n"


def _usage(facts: Mapping[str, Any]) -> str:
    what = "FEATURES" if facts["reading"] is None else str(facts["reading"]["of"]).upper()
    return (
        f"## Use it\n\n```\nhage apply <this folder> {what} --out scores\n```\n\nor "
        f'`hage_transfer.apply("<this folder>", ...)`. It reads {_reading(facts)}.'
    )


def _reading(facts: Mapping[str, Any]) -> str:
    features, reading = facts["features"], facts["reading"]
    mpp = features["mpp_um_per_px"]
    scale = "no recorded um per px" if mpp is None else f"{mpp:.4g} um per px"
    tiles = f"{features['patch_size_px']} px at {scale}" if features["patch_size_px"] else f"whole images, {scale}"
    how = (
        "feature files alone, since it was trained on such" if reading is None else f"{reading['of']} or their features"
    )
    steps = {part for parts in facts["trials"] for part in parts if part is not None}
    through = f", then through {len(steps)} encoder directories that lie in here" if steps else ""
    return f"{how}: {features['encoder']} (weights sha256 `{features['encoder_sha256'][:16]}`), {tiles}{through}"


def _training(facts: Mapping[str, Any]) -> str:
    cohort, calibration = facts["cohort"], facts["calibration"]
    counts = ", ".join(f"{number} {name}" for name, number in cohort["labels"].items())
    if "values" in cohort:
        counts = ", ".join(f"{name} {number:.4g}" for name, number in cohort["values"].items())
    groups = "no groups" if cohort["groups"] is None else f"{cohort['groups']} groups (patients)"
    rows = {
        "units": f"{cohort['units']} ({counts}), {groups}",
        "source": facts["source"],
        "models": f"{facts['models']} of {len(facts['trials'])} trials"
        + (", and one of all units a trial" if facts["final"] else ""),
        "folds": f"{facts['split']['mode']}, kept together by {facts['split']['by']}",
    }
    if calibration is not None:
        thresholds = ", ".join(f"{name}: {value:.3g}" for name, value in facts["thresholds"].items())
        rows["calibration"] = f"{calibration['method']} on {calibration['rows']} out-of-fold scores" + _found(
            calibration
        )
        rows |= {} if facts.get("target") else {"thresholds": thresholds or "highest probability"}
    return "## Trained on\n\n| | |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in rows.items())


def _found(calibration: Mapping[str, Any]) -> str:
    """What the calibration of a number or of survival is in numbers, where it is one."""
    known = {name: calibration.get(name) for name in ("slope", "intercept", "observed_to_expected")}
    shown = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in known.items() if value is not None]
    return f" ({', '.join(shown)})" if shown else ""


def _scores(facts: Mapping[str, Any]) -> str:
    lines = [
        f"| {name} | {one['mean']:.3f} | {one.get('std', float('nan')):.3f} |"
        for name, one in facts["held_out"].items()
    ]
    return _HELD_OUT + "\n".join(lines)


def _licence(facts: Mapping[str, Any]) -> str:
    licence = facts["licence"]["licence"]
    encoder = facts["licence"]["encoder"]
    text = f"## Licence\n\nTrained on features of {encoder}, licence **{licence}**, whose terms it inherits."
    if forbids_derivatives(licence):
        text += (
            " These forbid passing derivatives on: whoever shares or takes this folder needs the authors' permission."
        )
    elif not is_known_licence(licence):
        text += " It was not recorded: find it out before you share or use this."
    return text
