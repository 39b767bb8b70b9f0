"""Messages name functions and what they were given (`mil`, ``out=``); on the command line, commands and options."""

import logging
import re

_OPTIONS = {
    "changes": "--set",
    "encoders": "--encoder",
    "mpp_um_per_px": "--mpp",
    "n_encoders": "--n-encoders",
    "n_maps": "--n-maps",
    "overlap_px": "--overlap",
    "patch_size_level0_px": "--patch-size-level0",
    "patch_size_px": "--patch-size",
    "slide_folder": "--slides",
    "slide_mpp_um_per_px": "--slide-mpp",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            "abstain", "address", "against", "allow_trained", "controls", "coords", "dataset", "deciding", "device",
            "drop_empty", "embeddings", "encoder_name", "encoder_sha256", "engine", "features", "fold", "genes",
            "gpus", "group", "group_column", "jobs", "keep", "measure", "label", "label_column", "layout",
            "level0_magnification", "licence", "licence_allows", "magnification", "near", "operating_point", "out",
            "overwrite", "panel", "part_column", "path_column", "port", "patches", "patients", "precision", "public",
            "rates", "regions", "sections", "select", "shard", "site", "slide", "slides", "source", "spot_diameter_um",
            "spots", "subgroups", "tiles", "to", "training_only", "weights", "width",
        )
    },
}  # fmt: skip
"""Arguments of the library's functions and the options that give them."""
_ARGUMENT = re.compile(
    rf"(?<![\w./-])(?<!--set )({'|'.join(sorted(_OPTIONS, key=len, reverse=True))})=(True\b|False\b)?(?=(\S?))"
)
_COMMANDS = {
    "encode_sections": "encode st",
    "encode_patches": "encode patches",
    "encode_slides": "encode slides",
    "encode_*": "encode",
    "check_labels": "labels check",
    "compare_systems": "compare",
    "explain": "heatmap",
    "make_labels": "labels make",
    **{
        name: name
        for name in (
            "apply", "convert", "demo", "doctor", "embed", "mil", "plan", "predict", "pretrain", "probe", "recipes",
            "share", "tissue", "view",
        )
    },
}  # fmt: skip
"""The library's functions and the commands that call them."""
_FUNCTION = re.compile(rf"`({'|'.join(map(re.escape, _COMMANDS))})(?:\(([^`]*)\))?`")
_KEY = re.compile(r"(?<![\w.-])set ((?:\w+\.)*\w+=)")


def as_flags(text: str) -> str:
    """A message of the library in the words of the command line.

    >>> as_flags("give another out=, or overwrite=True to delete that run")
    'give another --out, or --overwrite to delete that run'
    >>> as_flags("device=cuda:7: not on this machine; set train.devices=1")
    '--device cuda:7: not on this machine; --set train.devices=1'
    >>> as_flags("`make_labels(drop_empty=True)` does")
    '`hage labels make --drop-empty` does'
    """
    return _ARGUMENT.sub(_option, _KEY.sub(r"--set \1", _FUNCTION.sub(_command, text)))


def _command(found: re.Match[str]) -> str:
    given = f" {found[2].replace(', ', ' ')}" if found[2] else ""
    return f"`hage {_COMMANDS[found[1]]}{given}`"


def _option(found: re.Match[str]) -> str:
    option, switch, following = _OPTIONS[found[1]], found[2], found[3]
    if switch == "False":
        return option.replace("--", "--no-", 1)
    is_value = not switch and following != "" and (following.isalnum() or following in "/~{[*._")
    return f"{option} " if is_value else option


class FlagFilter(logging.Filter):
    """Has log messages name options."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the message of a record of ours."""
        message = record.getMessage()
        told = as_flags(message)
        if told != message:
            record.msg, record.args = told, ()
        return True
