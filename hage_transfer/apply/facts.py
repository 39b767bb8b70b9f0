"""The form of `classifier.json`: what was edited by hand, or is a stranger's, is refused by name when it is read."""

from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

_MOST_FAULTS = 3


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Features(_Part):
    encoder: str
    encoder_sha256: str
    mpp_um_per_px: float | None
    magnification: float | None
    patch_size_px: int
    patch_size_level0_px: int
    width: int
    views: int
    surround: bool


class _Licence(_Part):
    encoder: str | None = None
    licence: str | None = None


class _Reading(_Part):
    of: Literal["slides", "images", "patches"]
    data: dict[str, Any]
    encoder: dict[str, Any]


class _Curve(_Part):
    slope: float | None = None
    intercept: float | None = None
    x: list[float] | None = None
    y: list[float] | None = None

    @model_validator(mode="after")
    def _of_either_kind(self) -> "_Curve":
        if (self.slope is None or self.intercept is None) and (not self.x or len(self.x) != len(self.y or ())):
            raise ValueError("wanted slope and intercept, or x and y of one length")
        return self


class _Calibration(_Part):
    method: str
    curves: list[_Curve] = []
    slope: float | None = None
    intercept: float | None = None


class Facts(_Part):
    """Keys that applying reads; others are allowed."""

    task: Literal["mil", "probe"]
    source: str
    kind: str
    classes: list[str]
    positive: str | None
    features: _Features
    licence: _Licence | None
    reading: _Reading | None
    calibration: _Calibration | None
    trials: list[list[str | None]]
    files_sha256: dict[str, str]
    models: int
    final: bool
    cohort: dict[str, Any]
    target: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _agree(self) -> "Facts":
        inside = {parent.as_posix() for name in self.files_sha256 for parent in PurePosixPath(name).parents}
        other = [part for parts in self.trials for part in parts if part is not None and part not in inside]
        if other:
            raise ValueError(f"trials: {other[0]} is no encoder directory of this folder")
        numbers = {PurePosixPath(n).parts[1].split(".")[0] for n in self.files_sha256 if n.startswith("models/trial_")}
        if not all(self.trials) or len(self.trials) != len(numbers):
            raise ValueError(f"trials: {len(self.trials)} are listed, and there are weights of {len(numbers)}")
        if self.target is not None:
            return self
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ValueError("classes: wanted two or more, each once")
        if self.positive is not None and (self.positive not in self.classes or len(self.classes) != 2):
            raise ValueError(f"positive: {self.positive} is not one of two classes")
        n_curves = len(self.classes) if self.positive is None else 1
        if self.calibration is None or len(self.calibration.curves) != n_curves:
            raise ValueError(f"calibration: wanted {n_curves} curves")
        return self


def faults_of(facts: dict[str, Any]) -> str:
    """What is wrong with the keys of a `classifier.json`, in a few words; empty where nothing is."""
    try:
        Facts.model_validate(facts)
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": Value error, ") for one in error.errors()
        ]
        told = [one.split(" or instance of")[0].replace(": Value error, ", ": ") for one in told]
        left = f" and {len(told) - _MOST_FAULTS} more" if len(told) > _MOST_FAULTS else ""
        return "; ".join(told[:_MOST_FAULTS]) + left
    return ""
