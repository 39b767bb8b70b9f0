"""How much there is of everything that a plan counts: given, or read from data that are there already."""

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.config import FeatureSetSettings, Settings
from hage_transfer.csv_table import csv_table
from hage_transfer.door.feature_set import FeatureSet
from hage_transfer.encoders.specs import EMBEDDED, EMBEDDED_WIDTH, spec_of
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig

_MEANS = {
    "slides": "slides of the study",
    "tiles": "tiles of a slide, on average (`tissue` counts them on some slides)",
    "patches": "patches of the set",
    "sections": "sections",
    "spots": "spots of a section, on average",
    "patients": "patients of the sections",
    "genes": "genes of the panel",
    "width": "numbers that the frozen encoder puts out",
    "n_encoders": "encoder directories of a source",
}


class Given(dict[str, int | None]):
    """Amounts by name, None where none is given; it knows which were asked for."""

    def __init__(self, amounts: Mapping[str, int | None]) -> None:
        super().__init__(amounts)
        self._asked: set[str] = set()

    def get(self, name: str, default: int | None = None) -> int | None:  # type: ignore[override]
        """An amount, and that it was asked for."""
        self._asked.add(name)
        return super().get(name, default)

    @property
    def unasked(self) -> list[str]:
        """Amounts that are given and that nothing asked for, as ``name=amount``."""
        return [f"{name}={n}" for name, n in self.items() if n is not None and name not in self._asked]


@dataclass(frozen=True)
class Counts:
    """Amounts of a config.

    Attributes:
        config: of the stage.
        given: amounts by name.
        embed_dim: width of a gene-informed embedding.
    """

    config: Settings
    given: Mapping[str, int | None]
    embed_dim: int = 1024

    def get(self, name: str) -> int:
        """An amount.

        Raises:
            ConfigError: it is neither given nor to be read.
        """
        found = self.given.get(name) or self._read(name)
        if not found:
            raise ConfigError(
                f"{name}: not given, and not to be read from what is there; give {name}= ({_MEANS[name]})"
            )
        return found

    def encoders(self, name: str, source: SourceSettings) -> int:
        """Encoder directories of a source; a glob of none that are there yet is counted by ``n_encoders``."""
        patterns = (source.encoder,) if isinstance(source.encoder, str) else source.encoder or ()
        if not any(mark in pattern for pattern in patterns for mark in "*?["):
            return len(patterns)
        found = sum(len(glob.glob(pattern)) for pattern in patterns)  # noqa: PTH207 - patterns may be absolute
        if not found and not self.given.get("n_encoders"):
            raise ConfigError(f"sources.{name}.encoder: matches no directory yet; give n_encoders= (how many it will)")
        return found or int(self.given.get("n_encoders") or 0)

    def units(self, config: PretrainConfig) -> int:
        """Patients or sections, of which each fold holds out one.

        Raises:
            ConfigError: a single one, or more patients than sections.
        """
        name = "sections" if config.split.unit == "section" else "patients"
        units, sections = self.get(name), self.get("sections")
        if units < 2:
            raise ConfigError(f"{name}={units}: one is held out and none is left to train on; wanted 2 or more")
        if units > sections:
            raise ConfigError(f"patients={units}: more than there are sections ({sections})")
        return units

    def enough(self, name: str, folds: int) -> int:
        """An amount that fills the folds.

        Raises:
            ConfigError: it does not, or is neither given nor to be read.
        """
        found = self.get(name)
        if found < folds:
            raise ConfigError(f"{name}={found}: too few for split.folds={folds}")
        return found

    def folds(self, config: PretrainConfig) -> int:
        """Folds of a pretraining."""
        return self.units(config) if config.split.held_out is None else len(config.split.held_out)

    def _read(self, name: str) -> int:
        config, features = self.config, self._features()
        if name == "genes" and isinstance(config, PretrainConfig):
            panel = config.genes.panel
            if isinstance(panel, Path) and panel.is_file():
                return len(panel.read_text(encoding="utf-8").split())
            return config.genes.n_top  # so many, or somewhat more: tops of sections differ
        if name == "width":
            return features.width if features else self._encoder_width()
        if name in ("sections", "patients") and isinstance(config, PretrainConfig) and features:
            return len(features) if name == "sections" else 0
        rows = self._rows(features)
        if name in ("tiles", "spots") and rows:
            return round(mean(rows))
        if name == "patches" and rows:
            return sum(rows)
        if name == "slides" and isinstance(config, MilConfig):
            labels = getattr(config.data, "labels", None)
            if labels is not None and labels.is_file():
                with csv_table(labels, absent="no such label table") as table:
                    return sum(1 for _ in table.rows)
            return len(rows)
        return 0

    def _features(self) -> FeatureSet | None:
        config = self.config
        data = getattr(config, "data", None)
        folder = data.root if isinstance(data, FeatureSetSettings) else getattr(config, "features", Path())
        try:
            return FeatureSet(folder)
        except DataError:
            return None

    def _rows(self, features: FeatureSet | None) -> list[int]:
        return [] if features is None else [int(n) for n in features.frame()["rows"]]

    def _encoder_width(self) -> int:
        encoder = getattr(self.config, "encoder", None)
        name = "" if encoder is None else encoder.name
        spec = spec_of(name)
        width = EMBEDDED_WIDTH if name == EMBEDDED else 0 if spec is None else spec.width
        return width * (2 if encoder is not None and encoder.surround else 1)
