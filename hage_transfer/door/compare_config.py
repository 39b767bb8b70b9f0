"""Config of `hage compare`: one pretraining run, and the tasks that all of its encoders are compared on."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hage_transfer.config import Settings


class StageSettings(Settings):
    """A recipe with changes, which is run, or a run that is there."""

    recipe: str | None = Field(None, description="a recipe's name, or a YAML file; run below `out`")
    changes: dict[str, Any] = Field({}, description="keys of that recipe, nested or dotted, and their values")
    run: Path | None = Field(None, description="in place of a recipe: the folder of a finished run")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.recipe is None) == (self.run is None):
            raise ValueError("names a recipe, or the folder of a finished run: exactly one of `recipe` and `run`")
        if self.run is not None and self.changes:
            raise ValueError("a finished run takes no changes")
        return self


class TaskSettings(StageSettings):
    """One downstream task."""

    task: Literal["probe", "mil"] = Field(description="labelled patches (probe), or bags of tiles (mil)")


class CompareConfig(Settings):
    """Everything that decides a comparison of all systems."""

    pretrain: StageSettings = Field(
        description="makes the encoders; its recipe is run with every system and all controls unless changes say else"
    )
    tasks: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")], TaskSettings] = Field(
        min_length=1, description="tasks by name: each is a run of its own below `out`, with every encoder as a source"
    )
    metric: Literal["auc", "accuracy", "recall"] = Field("auc", description="what systems are ranked by")

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        if PRETRAINED in self.tasks:
            raise ValueError(f"tasks.{PRETRAINED}: is the folder of the pretraining run; give another name")
        return self


PRETRAINED = "pretrain"
"""Folder of the pretraining run."""
