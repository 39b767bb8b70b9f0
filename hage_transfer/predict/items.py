"""What `hage predict` predicts: ST sections of a config, or slides by their feature files."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from hage_transfer.data.expression import normalise
from hage_transfer.data.feature_file import FeatureMeta, Features, read_features, read_header
from hage_transfer.data.genes import panel_counts
from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.sections import anndata_files
from hage_transfer.data.sections.grid import spacing_px
from hage_transfer.data.tile_coords import refuse_outside
from hage_transfer.errors import DataError, some
from hage_transfer.pretrain.config import ContextSettings, PretrainConfig
from hage_transfer.pretrain.dataset import FEATURES, attach_features
from hage_transfer.pretrain.genes import read_named_sections, read_names
from hage_transfer.pretrain.inputs import section_sha256
from hage_transfer.report.prediction_file import Place
from hage_transfer.running.atomic import TEMPORARY_MARK
from hage_transfer.running.progress import Progress
from hage_transfer.slides.find import find_slide
from hage_transfer.slides.reader import image_size_px

log = logging.getLogger(__name__)

Target = Callable[[Sequence[str], str], np.ndarray]


@dataclass(frozen=True)
class Loaded:
    """An item's rows.

    Attributes:
        features: of the frozen encoder, (spot, feature).
        place: what they are and where they lie.
        target: (genes, preset) -> measured expression; None for a slide.
    """

    features: np.ndarray
    place: Place
    target: Target | None


@dataclass(frozen=True)
class PredictItem:
    """One section or slide.

    Attributes:
        name: also of its output files.
        path: feature file.
        load: reads its rows.
        obs_column: the section's own obs column of a name; None where it has none.
        stamp: what decides its prediction besides features and encoders.
        patient: of a section; empty where none is known.
    """

    name: str
    path: Path
    load: Callable[[], Loaded]
    obs_column: Callable[[str], pd.Series | None]
    stamp: Mapping[str, Any]
    patient: str = ""

    def facts(self) -> tuple[FeatureMeta, int]:
        """Meta and width of the features, without reading them."""
        meta, (_, width) = read_header(self.path)
        return meta, width


def section_items(
    settings: PretrainConfig,
    names: Sequence[str],
    *,
    spot_diameter_um: float | None,
    progress: Progress | None = None,
) -> list[PredictItem]:
    """The sections of a pretraining config that have an image, or those of ``names``; ``progress`` counts them.

    Raises:
        InputError: the config, a section or its features are not right.
    """
    if names:
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"sections": tuple(names)})})
    sections = read_named_sections(settings.data, read_names(settings.genes), progress)
    without = [s.uns["section"]["name"] for s in sections if not s.uns["section"]["image_path"]]
    if without and (names or len(without) == len(sections)):
        raise DataError(f"{', '.join(without)}: no image, so no features to predict from; leave them out of sections=")
    sections = [section for section in sections if section.uns["section"]["image_path"]]
    attach_features(sections, settings.features, ContextSettings())  # the encoders say which context they want
    return [_section_item(section, settings, spot_diameter_um) for section in sections]


def are_tiles(features: Path) -> bool:
    """Whether a feature file, or the first of a folder, is of a slide's tiles; else of a section's spots.

    Raises:
        DataError: no feature file.
    """
    with open_h5(feature_paths(features)[0], absent="no such feature file; `encode_*` makes it") as file:
        return "coords" in file


def feature_paths(features: Path) -> list[Path]:
    """A feature file, or those of a folder.

    Raises:
        DataError: there is none.
    """
    if features.is_dir():
        paths = sorted(path for path in features.rglob("*.h5") if not path.name.startswith(TEMPORARY_MARK))
    else:
        paths = [features]
    if not paths:
        raise DataError(f"{features}: holds no feature file (*.h5); `encode_slides` makes them")
    return paths


def slide_items(features: Path, slides: Path | None) -> list[PredictItem]:
    """One item a feature file; with ``slides``, each with its slide's picture.

    Raises:
        DataError: no feature file, two of one name, or a slide that is not there.
    """
    paths = feature_paths(features)
    names = [path.stem for path in paths]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        both = [str(path) for path in paths if path.stem == double]
        raise DataError(f"{', '.join(both)}: one name, {double}, for two slides; predict their folders one by one")
    return [_slide_item(path, None if slides is None else find_slide(slides, path.stem)) for path in paths]


def _section_item(section: ad.AnnData, settings: PretrainConfig, diameter_um: float | None) -> PredictItem:
    facts = section.uns["section"]
    name, mpp = facts["name"], float(facts["mpp_um_per_px"])
    centres = np.asarray(section.obsm["spatial"], dtype=np.float64)
    wanted_um = diameter_um or float(facts["spot_diameter_um"])
    # a spot of unknown size is drawn half as wide as spots lie apart
    diameter_px = wanted_um / mpp if np.isfinite(wanted_um) and np.isfinite(mpp) else spacing_px(centres) / 2
    if not np.isfinite(diameter_px):
        raise DataError(f"section {name}: one spot and no resolution, so a spot's size is not known; leave it out")
    obs = section.obs[["section", "patient"]].astype("category")
    image = Path(facts["image_path"])
    place = Place(
        name=name, obs=obs, centres_px=centres, diameter_px=diameter_px, shape="circle", image=image, mpp_um_per_px=mpp
    )

    def load() -> Loaded:
        return Loaded(
            np.asarray(section.obsm[FEATURES]),
            place,
            lambda genes, preset: normalise(panel_counts(section, genes), preset),
        )

    def obs_column(column: str) -> pd.Series | None:
        if settings.data.layout not in ("anndata", "hest"):
            return None
        return anndata_files.obs_column(settings.data, name, column, section.obs_names)

    stamp = {"section": section_sha256(section), "diameter_px": diameter_px, "image": image}
    return PredictItem(name, settings.features / f"{name}.h5", load, obs_column, stamp, str(facts["patient"]))


def _slide_item(path: Path, image: Path | None) -> PredictItem:
    def load() -> Loaded:
        features = read_features(path)
        if image is not None and features.coords is not None:
            refuse_outside(features.coords, image, size_px=image_size_px(image), of=str(path))
        return Loaded(features.features, _slide_place(path, features, image), None)

    return PredictItem(path.stem, path, load, lambda column: None, {"image": image})


def _slide_place(path: Path, features: Features, image: Path | None) -> Place:
    if features.coords is None:
        raise DataError(f"{path}: has no `coords` (tiles of a slide); sections are predicted with CONFIG")
    meta, coords = features.meta, features.coords
    side = meta.patch_size_level0_px
    if side <= 0:
        raise DataError(f"{path}: patch_size_level0_px is {side}; encode it again with `encode_slides`")
    obs = pd.DataFrame(
        {"slide": pd.Categorical([path.stem] * len(coords)), "x_level0_px": coords[:, 0], "y_level0_px": coords[:, 1]},
        index=[f"{x}_{y}" for x, y in coords],
    )
    if not obs.index.is_unique:
        raise DataError(
            f"{path}: {some(list(obs.index[obs.index.duplicated()]))} is the place of two tiles; encode again"
        )
    mpp = float("nan") if meta.mpp_um_per_px is None else meta.mpp_um_per_px * meta.patch_size_px / side
    return Place(
        name=path.stem,
        obs=obs,
        centres_px=coords + side / 2,
        diameter_px=float(side),
        shape="square",
        image=image,
        mpp_um_per_px=mpp,
    )
