"""The classifier directory, read: what was trained, how slides are read for it, and what it is worth."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hage_transfer.apply.cohort import FeatureSpace, StainSpace
from hage_transfer.apply.facts import faults_of
from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.compare.records import FINAL
from hage_transfer.config import file_sha256
from hage_transfer.data.feature_file import Features
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.kinds import OWN_PREFIX
from hage_transfer.mil.own_class import MakeClassifier, check_own, code_sha256
from hage_transfer.targets.base import Target
from hage_transfer.targets.make import target_of

if TYPE_CHECKING:
    import pandas as pd

    from hage_transfer.mil.checkpoint import FoldModel
    from hage_transfer.models.stored_encoder import StoredEncoder
    from hage_transfer.probes.checkpoint import SavedProbes

FACTS_FILE, CARD_FILE, COHORT_FILE, TRAINING_FILE = "classifier.json", "README.md", "cohort.safetensors", "training.csv"
MODELS, ENCODERS = "models", "encoders"
FOLDER = "classifier"
"""Folder of a run that holds one classifier directory a source."""
SCHEMA_VERSION = 1
_NEEDED = (
    "task", "source", "classes", "positive", "kind", "reading", "features", "trials", "calibration", "licence",
    "files_sha256",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Classifier(os.PathLike[str]):
    """A trained classifier of one feature source that needs nothing but its folder.

    Attributes:
        folder: the classifier directory.
        facts: what ``classifier.json`` says; docs/file-formats.md names all of it.
        own: the user's class of bag classifier, where its kind is one.
    """

    folder: Path
    facts: Mapping[str, Any]
    own: MakeClassifier | None = None

    @classmethod
    def read(cls, folder: Path, *, own: MakeClassifier | None = None) -> "Classifier":
        """Reads and checks a classifier directory; weights are loaded when they are asked for.

        Raises:
            DataError: no classifier directory, of a later schema, or a file in it is missing or was changed.
            ConfigError: a user's own class that is missing, of another name, or of other code.
        """
        facts = read_facts(folder)
        cls.check_files(folder, facts)
        check_own(facts["kind"], own)
        if facts["kind"].startswith(OWN_PREFIX) and code_sha256(own) != facts.get("code_sha256"):
            raise ConfigError(
                f"{folder}: was trained with another version of {facts['kind'].removeprefix(OWN_PREFIX)} (the hash of "
                "its code differs); give the class as it was (model=...)"
            )
        return cls(folder, facts, own)

    @staticmethod
    def check_files(folder: Path, facts: Mapping[str, Any]) -> None:
        """Refuses files that are not those that were written; errors as ``read``."""
        for name, sha256 in facts["files_sha256"].items():
            path = folder / name
            if not path.is_file() or file_sha256(path) != sha256:
                what = "is missing" if not path.is_file() else "is not the file that was written (another hash)"
                raise DataError(f"{path}: {what}; copy the classifier directory again, whole")

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def task(self) -> str:
        """``mil``: a slide or image is scored; ``probe``: a patch."""
        return str(self.facts["task"])

    @property
    def source(self) -> str:
        """Name of the feature source that it was trained on."""
        return str(self.facts["source"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities."""
        return tuple(self.facts["classes"])

    @property
    def positive(self) -> int | None:
        """Of two classes, the place of the one that thresholds speak of."""
        name = self.facts["positive"]
        return None if name is None else self.classes.index(name)

    @property
    def target(self) -> Target | None:
        """What is predicted in place of classes; None of classes."""
        return target_of(self.facts.get("target"))

    @property
    def score_names(self) -> tuple[str, ...]:
        """Columns of its scores, in their order."""
        return score_names(self.facts)

    @property
    def n_main(self) -> int:
        """Of its scores, the first, by whose spread its models disagree."""
        return n_main(self.facts)

    @cached_property
    def sha256(self) -> str:
        """Changes with anything in the folder."""
        return file_sha256(self.folder / FACTS_FILE)

    @cached_property
    def own_run(self) -> Path | None:
        """The run around the directory, whose predictions it names by hash; None: it lies elsewhere."""
        folder = self.folder.absolute()
        predictions = folder.parents[1] / "predictions.csv" if folder.parent.name == FOLDER else None
        if predictions is None or not predictions.is_file():
            return None
        return predictions.parent if file_sha256(predictions) == self.facts.get("predictions_sha256") else None

    @cached_property
    def training(self) -> "pd.DataFrame":
        """Training units, without their names.

        Columns: ``label`` (of a target its stratum), ``group`` (a number), ``probability_<class>`` (or the target's
        scores) out of fold (mean over trials; empty where never tested), ``spread`` over trials, ``tile_distance``,
        ``stain_distance``, and ``looked.COLUMNS``, which a directory of an earlier version lacks.
        """
        import pandas as pd

        return pd.read_csv(self.folder / TRAINING_FILE, dtype={"label": str}, keep_default_na=False, na_values=[""])

    @cached_property
    def feature_space(self) -> FeatureSpace | None:
        """Distribution of the training tiles' features; None of a cohort too small for one."""
        found = self._cohort("features.")
        return FeatureSpace.of(found) if found else None

    @cached_property
    def stain_space(self) -> StainSpace | None:
        """Distribution of the training slides' stain; None where their pixels were not at hand."""
        found = self._cohort("stain.")
        return StainSpace.of(found) if found else None

    def _cohort(self, prefix: str) -> dict[str, np.ndarray]:
        path = self.folder / COHORT_FILE
        if not path.is_file():
            return {}
        from hage_transfer.tensor_files import read_tensors, refuse_not_finite  # torch

        tensors = read_tensors(path, remedy="copy the classifier directory again")[1]
        found = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        refuse_not_finite({name: one for name, one in found.items() if name != "scale"}, where=str(path))
        return {name: one.numpy() for name, one in found.items()}

    def models_of(self, trial: int, *, final: bool = False) -> list["FoldModel"] | list["SavedProbes"]:
        """A trial's models: its folds', or the one that was trained on all patients."""
        return _models(self.folder, self.sha256, self.task, trial, final, self.own)

    def probabilities(
        self, features: Features, *, final: bool = False, device: str = "cpu"
    ) -> Float[np.ndarray, "trial fold unit class"]:
        """Class probabilities (or a target's scores) by every model of a bag (one unit), or of patches (a unit each).

        Args:
            features: as the frozen encoder gives them.
            final: by the models that were trained on all patients, in place of the folds'.
            device: torch device of the embedding.

        Raises:
            DataError: features of another encoder or width, or what comes out is no number.
        """
        found = np.stack(
            [
                self._of_trial(trial, rows, features.coords, final=final)
                for trial, rows in enumerate(self._rows_of_trials(features, device))
            ]
        )
        if not np.isfinite(found).all():
            raise DataError(
                f"{features.meta.source}: its probabilities are not numbers; is a feature out of all range?"
            )
        return found

    def _rows_of_trials(self, features: Features, device: str) -> Iterator[Float[np.ndarray, "row feature"]]:
        """What each trial's models take, every encoder applied once."""
        made: dict[str | None, np.ndarray] = {None: features.features.astype(np.float32, copy=False)}
        for parts in self.facts["trials"]:
            for part in parts:
                if part not in made:
                    made[part] = self._embedded(part, features, device)
            yield made[parts[0]] if len(parts) == 1 else np.concatenate([made[part] for part in parts], axis=1)

    def _embedded(self, part: str, features: Features, device: str) -> Float[np.ndarray, "row embed"]:
        from hage_transfer.models.embedding import embed_features

        folder = self.folder / part
        return embed_features(features, _encoder(folder, self.sha256), folder=folder, device=device).features

    def _of_trial(
        self, trial: int, rows: np.ndarray, coords: np.ndarray | None, *, final: bool
    ) -> Float[np.ndarray, "fold unit class"]:
        import torch

        models: Any = self.models_of(trial, final=final)
        if self.task == "probe":
            return np.concatenate([one.scores(rows) for one in models]).astype(np.float64)
        tiles = torch.from_numpy(rows)
        places = None if coords is None else torch.from_numpy(np.asarray(coords, dtype=np.int64))
        return np.stack([one.scores(one(tiles, places).logits) for one in models])

    def __repr__(self) -> str:
        facts = self.facts
        scores = ", ".join(f"{name} {one['mean']:.3f}" for name, one in facts.get("held_out", {}).items())
        return (
            f"Classifier {self.source} ({facts['kind']}) of {what_of(facts)}, {facts['models']} models on "
            f"{facts['features']['encoder']}; held out: {scores or 'unknown'}; {self.folder}"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{escape(repr(self))}</p>"


def score_names(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of the scores of what ``classifier.json`` or ``apply.json`` describes."""
    target = target_of(facts.get("target"))
    return target.score_names if target is not None else tuple(f"probability_{name}" for name in facts["classes"])


def n_main(facts: Mapping[str, Any]) -> int:
    """How many scores, the first, models disagree by."""
    target = target_of(facts.get("target"))
    return len(score_names(facts) if target is None else target.main_scores)


def what_of(facts: Mapping[str, Any]) -> str:
    """What a classifier tells, in a few words: its classes, or the kind of its target and the columns it learnt."""
    if not facts.get("target"):
        return " / ".join(facts["classes"])
    tree = facts["target_settings"]
    columns = tree.get("columns") or [tree[name] for name in ("column", "time") if name in tree]
    return f"{facts['target']['kind']} ({', '.join(columns)})"


def read_facts(folder: Path) -> dict[str, Any]:
    """``classifier.json`` of a directory; errors as ``Classifier.read``."""
    path = folder / FACTS_FILE
    try:
        facts = read_json(path)
    except FileNotFoundError:
        raise DataError(
            f"{folder}: is no classifier directory: {FACTS_FILE} is missing; `mil` and `probe` leave one in "
            f"<run>/{FOLDER}/<source>/"
        ) from None
    except BoundsError as error:
        raise DataError(f"{path}: {error}") from None
    missing = [key for key in _NEEDED if not isinstance(facts, dict) or key not in facts]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} missing; not written by `mil` or `probe`")
    if type(facts.get("schema_version")) is not int or facts["schema_version"] > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version {facts.get('schema_version')!r}, this program knows {SCHEMA_VERSION}; upgrade"
        )
    if not isinstance(facts["files_sha256"], dict) or any(
        Path(name).is_absolute() or ".." in Path(name).parts for name in facts["files_sha256"]
    ):
        raise DataError(f"{path}: files_sha256 does not name files of this folder; copy it again")
    faults = faults_of(facts)
    if faults:
        raise DataError(f"{path}: {faults}; it was changed since it was written: copy the classifier directory again")
    return facts


@lru_cache(maxsize=32)
def _models(
    folder: Path, sha256: str, task: str, trial: int, final: bool, own: MakeClassifier | None
) -> list["FoldModel"] | list["SavedProbes"]:
    if task == "probe":
        from hage_transfer.probes.checkpoint import read_probes

        return [read_probes(folder / MODELS / f"trial_{trial}.safetensors").only(final=final)]
    from hage_transfer.mil.checkpoint import read_models

    where = folder / (FINAL if final else MODELS) / f"trial_{trial}"
    return read_models(where, own=own)


@lru_cache(maxsize=8)
def _encoder(folder: Path, sha256: str) -> "StoredEncoder":
    from hage_transfer.models.forms import open_encoder

    return open_encoder(folder)
