"""What explaining one slide takes, and whether what is there already was made of it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hage_transfer.bounded import read_json
from hage_transfer.config import config_sha256, file_sha256
from hage_transfer.errors import DataError
from hage_transfer.explain.files import RECORD_FILE
from hage_transfer.explain.images import SlideImage
from hage_transfer.explain.sources import SourceBags
from hage_transfer.mil.checkpoint import FoldModel, model_path, read_fold_model
from hage_transfer.mil.heatmap import HeldOutSlide
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.running.file_stamp import written

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class HeatmapOptions:
    """Options of the command; empty tuples: every source, every tested slide, the sources' own encoders.

    ``own`` is the user's class of bag classifier, where the run was made with one.
    """

    sources: tuple[str, ...]
    slides: tuple[str, ...]
    top: int
    share: float
    genes: bool
    encoders: tuple[str, ...]
    slide_folder: Path | None
    own: MakeClassifier | None = None


@dataclass(frozen=True, kw_only=True)
class SlideTask:
    """What explaining one slide needs; it travels to a worker.

    Attributes:
        run: the MIL run.
        source: feature source whose models tested the slide.
        slide: as tested.
        bag: the slide's place in the source's bags.
        image: None where the run has no images.
        options: of the command.
        out: the slide's folder.
        column: of the table, that a regression's models predict.
    """

    run: Path
    source: SourceBags
    slide: HeldOutSlide
    bag: int
    image: SlideImage | None
    options: HeatmapOptions
    out: Path
    column: str = ""

    @property
    def name(self) -> str:
        """Among the slides of all sources."""
        return f"{self.source.name}/{self.slide.name}"

    @property
    def frozen(self) -> Path | None:
        """The slide's frozen features; None where no genes are read."""
        return None if self.source.genes is None else self.source.frozen.get(self.slide.name)

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
                    f"{path}: no such model; a run of an earlier version kept none: run `mil` again into a new out="
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
                    for part in self.source.bags[trial].parts or (self.source.bags[trial],)
                ],
                "models": [file_sha256(path) for path in models],
                "frozen": "" if self.frozen is None else written(self.frozen),
                "encoders": [] if self.source.genes is None else list(self.source.genes.hashes),
                "image": "" if image is None else f"{image.name} {written(image)}",
                "mpp": None
                if self.image is None
                else [self.image.own_mpp_um_per_px, self.image.fallback_mpp_um_per_px],
                "options": [self.options.top, self.options.share, self.source.why_no_genes],
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
            (fold, trial): _read_model(
                self.run, self.source.name, fold, trial, written(self._model(fold, trial)), self.options.own
            )
            for fold, trial in self.slide.probabilities
        }

    def _model(self, fold: str, trial: int) -> Path:
        return model_path(self.run, source=self.source.name, trial=trial, fold=fold)


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
