"""Settings of the feature sources that a comparison puts side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hage_transfer.config import Settings

Label = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
"""A class by name; YAML reads the name 1 as a number."""


NullCopies: int = Field(
    0,
    ge=0,
    le=1000,
    description="copies of the frozen features that carry the same information (20 is a good number; 0: none), each "
    "trained and tested on the same folds: how often this set's verdict is false, and the smallest difference it can "
    "show. Changes no other number",
)


Controls: bool | Path | None = Field(
    None,
    description="encoders that no gene taught (frozen_standardised, untrained, pca, expression, shuffled), compared as "
    "sources of these names. true: those of the pretraining run that the first encoder lies in, or the folder of a "
    "run; false: none; not given: a probe takes those that are there, MIL none. Changes no other number",
)


class SourceSettings(Settings):
    """One named feature source: a feature file (or folder of them), a way to make it, or others side by side."""

    features: Path | None = Field(None, description="feature file or folder; None: encoded from `data`")
    encoder: str | tuple[str, ...] | None = Field(
        None, description="encoder directory, or a glob or list of several (one per trial), applied to the features"
    )
    concat: tuple[str, ...] = Field(
        (), description="names of other sources whose columns stand side by side, trial by trial"
    )

    @model_validator(mode="after")
    def _one_way_to_make_it(self) -> "SourceSettings":
        if self.concat and (self.features is not None or self.encoder is not None):
            raise ValueError("concat names other sources, so features and encoder have no place beside it")
        if len(self.concat) == 1:
            raise ValueError(f"concat puts two sources or more side by side, this names {self.concat[0]} alone")
        return self


def _parts_are_there(sources: Mapping[str, SourceSettings]) -> Mapping[str, SourceSettings]:
    for name, source in sources.items():
        for part in source.concat:
            if part not in sources:
                raise ValueError(f"sources.{name}.concat names {part}, which is no source")
            if sources[part].concat:
                raise ValueError(f"sources.{name}.concat names {part}, which is a concatenation itself")
    return sources


Sources = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")], SourceSettings],
    Field(min_length=1, description="named feature sources, compared on the same folds"),
    AfterValidator(_parts_are_there),
]
