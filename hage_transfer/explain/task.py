"""What explaining one slide takes, and whether what is there already was made of it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hage_transfer.bounded import read_json
from hage_transfer.config import config_sha256, file_sha256
from hage_transfer.errors import DataError
from hage_transfer.explain.files import RECORD_FILE
from hage_transfer.explain.genes import GeneQuality
from hage_transfer.explain.images import SlideImage
from hage_transfer.mil.bags import BagSet
from hage_transfer.mil.checkpoint import FoldModel, model_path, read_fold_model
from hage_transfer.mil.heatmap import HeldOutSlide
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.running.file_stamp import written

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class GeneModels:
    """Whose genes are read.

    Attributes:
        folders: encoder directories.
        hashes: of their weights.
        quality: of their predictions.
        device: torch device.
    """

    folders: tuple[Path, ...]
    hashes: tuple[str, ...]
    quality: GeneQuality
    device: str


@dataclass(frozen=True, kw_only=True)
class SlideTask:
    """What explaining one slide needs; it travels to a worker.

    Attributes:
        run: the MIL run.
        source: named feature source.
        slide: as tested.
        bags: bags of the source, by trial.
        bag: the slide's place in them.
        frozen: the slide's frozen features; None where no genes are read.
        genes: None where no genes are read.
        why_no_genes: then the reason.
        image: None where the run has no images.
        top: tiles on a contact sheet.
        share: of deciding tiles.
        out: the slide's folder.
        device: torch device.
        own: the user's class of bag classifier, where the run was made with one.
    """

    run: Path
    source: str
    slide: HeldOutSlide
    bags: tuple[BagSet, ...]
    bag: int
    frozen: Path | None
    genes: GeneModels | None
    why_no_genes: str
    image: SlideImage | None
    top: int
    share: float
    out: Path
    device: str
    own: MakeClassifier | None = None

    @property
    def name(self) -> str:
        """Among the slides of all sources."""
        return f"{self.source}/{self.slide.name}"

    @property
    def record(self) -> Path:
        """The last file that is written."""
        return self.out / RECORD_FILE

    def inputs_sha256(self) -> str:
        """Changes with anything that the slide's files are made of.

        Raises:
            DataError: the slide's image is not there, or a model is missing.
        """
        trials = {trial for _, trial in self.slide.probabilities}
        models = [self._model(fold, trial) for fold, trial in self.slide.probabilities]
        for path in models:
            if not path.is_file():
                raise DataError(
                    f"{path}: no such model; a run of an earlier version kept none: run `hage mil` again "
                    "into a new out="
                )
        if self.image is not None and self.image.path is None:
            raise DataError(self.image.reason)
        image = None if self.image is None else self.image.path
        return config_sha256(
            {
                "schema_version": SCHEMA_VERSION,
                "bags": [
                    f"{part.paths[self.bag].name} {written(part.paths[self.bag])}"
                    for trial in sorted(trials)
                    for part in self.bags[trial].parts or (self.bags[trial],)
                ],
                "models": [file_sha256(path) for path in models],
                "frozen": "" if self.frozen is None else written(self.frozen),
                "encoders": [] if self.genes is None else list(self.genes.hashes),
                "image": "" if image is None else f"{image.name} {written(image)}",
                "mpp": None
                if self.image is None
                else [self.image.own_mpp_um_per_px, self.image.fallback_mpp_um_per_px],
                "options": [self.top, self.share, self.why_no_genes],
                "label": self.slide.label,
            }
        )

    def is_current(self) -> bool:
        """Whether the slide's files are there and were made of these inputs."""
        record = read_record(self.record)
        return (
            record is not None
            and record["inputs_sha256"] == self.inputs_sha256()
            and all((self.out / name).is_file() for name in record["files"])
        )

    def models(self) -> dict[tuple[str, int], FoldModel]:
        """The models that tested the slide, by fold and trial."""
        return {
            (fold, trial): _read_model(self.run, self.source, fold, trial, written(self._model(fold, trial)), self.own)
            for fold, trial in self.slide.probabilities
        }

    def _model(self, fold: str, trial: int) -> Path:
        return model_path(self.run, source=self.source, trial=trial, fold=fold)


def read_record(path: Path) -> dict[str, Any] | None:
    """What was written of a slide; None where there is nothing, or nothing that can be read."""
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and record.get("schema_version") == SCHEMA_VERSION
    return record if whole and {"inputs_sha256", "files", "row"} <= record.keys() else None


@lru_cache(maxsize=64)
def _read_model(run: Path, source: str, fold: str, trial: int, stamp: str, own: MakeClassifier | None) -> FoldModel:
    return read_fold_model(run, source=source, trial=trial, fold=fold, own=own)
