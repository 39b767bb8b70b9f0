"""Config of a target: `target.kind` and the columns that it is read from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hage_transfer.config import Settings


class ClassSettings(Settings):
    """Classes, as the label table names them."""

    kind: Literal["classes"] = Field("classes", description="classes of the label table")


class _ValueSettings(Settings):
    table: Path | None = Field(
        None,
        description="csv of the values, by key, slide, path or group (case_id); None: the manifest or label table",
    )
    missing: Literal["refuse", "drop"] = Field(
        "refuse", description="rows without a value: an error, or left out and counted (bags alone)"
    )


class RegressionSettings(_ValueSettings):
    """A number."""

    kind: Literal["regression"] = Field("regression", description="a number")
    column: str = Field("label", description="of the number")
    loss: Literal["mse", "huber"] = Field("mse", description="squared error, or Huber's (1 at one standard deviation)")


class SurvivalSettings(_ValueSettings):
    """Time to an event, which may be censored."""

    kind: Literal["survival"] = Field("survival", description="time to an event, or to the end of follow-up")
    time: str = Field("time", description="column of the time, in any one unit")
    event: str | None = Field(None, description="column of the event: 1 or True where it was seen; None: event")
    censored: str | None = Field(None, description="in place of event, a column that is 1 or True where it was not")
    loss: Literal["cox", "hazards"] = Field(
        "cox", description="Cox's partial likelihood over a memory of bags; discrete-time hazards"
    )
    bins: int = Field(4, ge=2, le=100, description="hazards: intervals, with as many training events in each")
    censored_weight: float = Field(
        1.0, ge=0, le=1, description="hazards: of a censored row's loss; published code calls 1 less it alpha"
    )
    horizons: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="times at which survival is predicted and judged; empty: deciles of the times of events"
    )

    @field_validator("horizons")
    @classmethod
    def _horizons_ascend(cls, horizons: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(horizons)))

    @model_validator(mode="after")
    def _one_column_of_events(self) -> "SurvivalSettings":
        if self.event is not None and self.censored is not None:
            raise ValueError("target.event and target.censored are one column said twice; name one of them")
        return self


class OrdinalSettings(_ValueSettings):
    """Grades: classes in an order."""

    kind: Literal["ordinal"] = Field("ordinal", description="grades")
    column: str = Field("label", description="of the grade")
    order: tuple[str, ...] = Field((), description="grades, the lowest first; empty: numbers, ascending")

    @field_validator("order", mode="before")
    @classmethod
    def _numbers_are_names(cls, order: object) -> object:
        return [str(one) for one in order] if isinstance(order, list | tuple) else order

    @field_validator("order")
    @classmethod
    def _order_has_no_doubles(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(order)) < len(order) or len(order) == 1:
            raise ValueError("two grades or more, each once")
        return order


class MultiLabelSettings(_ValueSettings):
    """Several labels, each there or not."""

    kind: Literal["multilabel"] = Field("multilabel", description="several labels, each 0 or 1")
    columns: tuple[str, ...] = Field(min_length=2, description="a column a label")
    missing: Literal["refuse", "drop", "allow"] = Field(  # type: ignore[assignment]
        "refuse", description="empty cells: an error; rows without any label left out; or such labels not counted"
    )


TargetSettings = Annotated[
    ClassSettings | RegressionSettings | SurvivalSettings | OrdinalSettings | MultiLabelSettings,
    Field(discriminator="kind"),
]
ValueSettings = RegressionSettings | SurvivalSettings | OrdinalSettings | MultiLabelSettings


def tagged(tree: Any) -> Any:
    """A target's keys, with the kind that is meant where none is said: classes."""
    return {"kind": "classes", **tree} if isinstance(tree, dict) and "kind" not in tree else tree


def refuse_class_keys(target: Settings, keys: Mapping[str, object]) -> None:
    """Refuses keys that speak of classes beside a target that has none.

    Raises:
        ValueError: one is set.
    """
    given = [name for name, value in keys.items() if value is not None]
    if given and not isinstance(target, ClassSettings):
        raise ValueError(f"{given[0]} = {keys[given[0]]}: speaks of classes, and target.kind is another; leave it out")
