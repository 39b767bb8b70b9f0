"""What a classifier was given: slides, images or patches become feature files by its own recipe; feature files stay."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.stain import Pixels
from hage_transfer.config import EncoderSettings, PatchSetSettings, SlideSetSettings, make_config
from hage_transfer.data.feature_layouts import Given, find_feature_files
from hage_transfer.data.patch_set import image_of
from hage_transfer.data.patches import IMAGE_ENDINGS
from hage_transfer.encode.bags import Workers, encode_bags
from hage_transfer.encode.sections_and_patches import FEATURES_FILE, FEATURES_FOLDER, encode_patches
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.registry import find_weights
from hage_transfer.errors import DataError, HageError, InputError, ItemsFailedError, WeightsError, some
from hage_transfer.mil.config import MilConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.atomic import write_csv
from hage_transfer.running.failures import read_failures
from hage_transfer.running.progress import Progress
from hage_transfer.slide_names import FEATURE_ENDINGS, slide_name
from hage_transfer.slides.find import NamedSlide, slides_in
from hage_transfer.slides.reader import open_picture
from hage_transfer.slides.table import read_slide_table

log = logging.getLogger(__name__)

INPUT = "input"
"""Folder of an application that holds what was encoded for it."""
_NO_LABEL = "unlabelled"


@dataclass(frozen=True, kw_only=True)
class How:
    """How inputs are read and scored.

    Attributes:
        device: torch device.
        workers: of the encoding; its jobs score too.
        own: a frozen encoder of the caller's, in place of the one that the classifier names.
        weights: local file of the frozen encoder's weights.
        given: what the user says of feature files that do not say it.
        slide_mpp_um_per_px: level-0 resolution of slides that record none.
        table: of the slides, whose `mpp` says a slide's own.
        final: by the models that were trained on all patients.
        overwrite: encode anew.
    """

    device: str
    workers: Workers = field(default_factory=Workers)
    own: FrozenEncoder | None = None
    weights: Path | None = None
    given: Given = field(default_factory=Given)
    slide_mpp_um_per_px: float | None = None
    table: Path | None = None
    final: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Inputs:
    """What is to be scored.

    Attributes:
        files: feature file of each bag, by its name; of a patch set the one file, by its own name.
        pixels: of bags, or of the images of patches, where they were read here.
        failures: of what could not be read or encoded.
        waiting: those that another worker has yet to encode.
    """

    files: Mapping[str, Path]
    pixels: Mapping[str, Pixels] = field(default_factory=dict)
    failures: Mapping[str, HageError] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pictures:
    """What is to be encoded.

    Attributes:
        config: that says how, of bags or of patches.
        pixels: by the name of a bag, or the key of an image of patches.
        failures: of images that cannot be read.
    """

    config: Any
    pixels: Mapping[str, Pixels]
    failures: Mapping[str, HageError]


def find_inputs(classifier: Classifier, place: Path, out: Path, how: How, progress: Progress | None) -> Inputs:
    """Feature files of what lies at ``place``, encoded into ``out`` first where it is pixels.

    Raises:
        InputError: nothing that the classifier takes, or its encoder cannot be had.
    """
    files = given_files(classifier, place)
    if files:
        return Inputs(files)
    check_reading(classifier, place)
    _check_encoder(classifier, how)
    found = find_pictures(classifier, place, out, how)
    if classifier.task == "mil":
        return _encoded_bags(found, how, progress)
    encode_patches(found.config, device=how.device, overwrite=how.overwrite, own=how.own, progress=progress)
    return Inputs({"features": found.config.features / FEATURES_FILE}, found.pixels, found.failures)


def find_pictures(classifier: Classifier, place: Path, out: Path, how: How) -> Pictures:
    """Slides or images at ``place``, and how they are encoded; a table of them is written into ``out``.

    Raises:
        InputError: none there that can be read.
    """
    read = _from_slides if classifier.facts["reading"]["of"] == "slides" else _from_images
    return read(classifier, place, out, how)


def check_reading(classifier: Classifier, place: Path) -> None:
    """Refuses pixels for a classifier that was trained on feature files.

    Raises:
        DataError: see above.
    """
    if classifier.facts["reading"] is None:
        raise DataError(
            f"{place}: holds no feature files, and {classifier.folder} was trained on feature files, which do not say "
            "how slides are read; encode them as its own were, and give the features"
        )


def given_files(classifier: Classifier, place: Path) -> dict[str, Path]:
    """Feature files at ``place`` by the name of their bag, or the one of a patch set; empty where there is none.

    Raises:
        DataError: nothing is there at all.
    """
    if not place.exists():
        raise DataError(f"{place}: no such file or folder of slides, images or features")
    if classifier.task == "probe":
        path = place / FEATURES_FILE if place.is_dir() else place
        return {path.stem: path} if path.is_file() and path.suffix == ".h5" else {}
    if place.is_file():
        return {slide_name(place.name): place} if place.suffix.lower() in FEATURE_ENDINGS else {}
    known = [place, place / FEATURES_FOLDER, place / "h5_files", place / "pt_files"]
    known += [*place.glob("features_*"), *place.glob("*_overlap/features_*")]
    holds = any(
        one.suffix.lower() in FEATURE_ENDINGS for folder in known if folder.is_dir() for one in folder.iterdir()
    )
    return find_feature_files(place) if holds else {}


def names_at(classifier: Classifier, place: Path) -> list[str]:
    """Names of the bags at ``place``, before any is read; of images none, which are known once they are."""
    files = given_files(classifier, place)
    reading = classifier.facts["reading"]
    if files or reading is None or reading["of"] != "slides":
        return list(files)
    return [slide_name(one.path.name) for one in _slides_at(place)]


def _slides_at(place: Path) -> list[NamedSlide]:
    return slides_in(place) if place.is_dir() else [NamedSlide(place, slide_name(place.name))]


def _check_encoder(classifier: Classifier, how: How) -> None:
    """Refuses other weights before anything is read."""
    wanted = classifier.facts["features"]
    met = how.own.sha256 if how.own is not None else find_weights(_encoder(classifier, how)).sha256
    if met != wanted["encoder_sha256"]:
        raise WeightsError(
            f"{classifier.folder}: was trained on {wanted['encoder']} with weights {wanted['encoder_sha256'][:12]}, "
            f"and those here are {met[:12]}; give the same weights (weights=...)"
        )


def _encoder(classifier: Classifier, how: How) -> EncoderSettings:
    return make_config(EncoderSettings, {**classifier.facts["reading"]["encoder"], "weights": how.weights})


def _from_slides(classifier: Classifier, place: Path, out: Path, how: How) -> Pictures:
    slides = _slides_at(place)
    root = place.parent if not place.is_dir() or any(one.path == place for one in slides) else place
    resolution = {} if how.table is None else _resolutions(how.table)
    rows = [
        {"slide": one.path.relative_to(root).as_posix(), "mpp": resolution.get(slide_name(one.path.name)) or ""}
        for one in slides
    ]
    table = out / "given_slides.csv"
    write_csv(table, ["slide", "mpp"], rows)
    recipe = classifier.facts["reading"]["data"]
    mpp = how.slide_mpp_um_per_px or recipe.get("slide_mpp_um_per_px")
    data = make_config(
        SlideSetSettings, {**recipe, "root": root, "labels": table, "slide_mpp_um_per_px": mpp}, where=str(classifier)
    )
    config = _config(MilConfig, classifier, data, out, how)
    pixels = {
        name: Pixels(one.path, data, resolution.get(name)) for one in slides for name in [slide_name(one.path.name)]
    }
    return Pictures(config, pixels, {})


def _resolutions(table: Path) -> dict[str, float | None]:
    return {slide_name(row.name): row.mpp_um_per_px for row in read_slide_table(table)}


def _from_images(classifier: Classifier, place: Path, out: Path, how: How) -> Pictures:
    root = place if place.is_dir() else place.parent
    there = sorted(place.rglob("*")) if place.is_dir() else [place]
    images = [one for one in there if one.suffix.lower() in IMAGE_ENDINGS and not one.name.startswith(".")]
    if not images:
        raise DataError(f"{place}: holds no image ({', '.join(sorted(IMAGE_ENDINGS))}) and no feature file")
    is_probe = classifier.task == "probe"
    tile_px = classifier.facts["reading"]["data"].get("tile_px")
    failures: dict[str, HageError] = {}
    good = []
    for image in images:
        key = image.relative_to(root).as_posix()
        try:
            _look(image, tile_px, whole=is_probe)
            good.append(key)
        except InputError as error:
            failures[key if is_probe else image.stem] = error
    if not good:
        raise next(iter(failures.values()))
    manifest = out / "given_images.csv"
    write_csv(manifest, ["path", "label"], [{"path": key, "label": _NO_LABEL} for key in good])
    recipe = classifier.facts["reading"]["data"]
    data = make_config(PatchSetSettings, {**recipe, "root": root, "manifest": manifest}, where=str(classifier))
    config: Any = _config(ProbeConfig if is_probe else MilConfig, classifier, data, out, how)
    pixels = {key if is_probe else Path(key).stem: Pixels(root / key, data) for key in good}
    return Pictures(config, pixels, failures)


def _look(image: Path, tile_px: int | None, *, whole: bool) -> None:
    """Refuses an image that holds no tile, or, where all are encoded as one set, that cannot be read to its end."""
    with open_picture(image) as opened:
        if tile_px is not None and min(opened.width_px, opened.height_px) < tile_px:
            raise DataError(f"{image}: {opened.width_px} x {opened.height_px} px holds no tile of {tile_px} px")
        if whole:
            opened.read_region(0, 0, level=0, width_px=opened.width_px, height_px=opened.height_px)


def _config(model: Any, classifier: Classifier, data: SlideSetSettings | PatchSetSettings, out: Path, how: How) -> Any:
    encoder = _encoder(classifier, how).model_dump()
    return make_config(model, {"data": data.model_dump(), "features": out / INPUT, "encoder": encoder})


def _encoded_bags(given: Pictures, how: How, progress: Progress | None) -> Inputs:
    config, pixels = given.config, given.pixels
    try:
        encode_bags(
            config,
            device=how.device,
            overwrite=how.overwrite,
            workers=how.workers,
            waits=how.workers.shard is None,
            labels_needed=False,
            own=how.own,
            progress=progress,
        )
    except ItemsFailedError as error:
        log.warning("%s", error)
    failed = read_failures(config.features)
    files = {name: config.features / FEATURES_FOLDER / f"{name}.h5" for name in pixels}
    done = {name: path for name, path in files.items() if path.is_file()}
    waiting = tuple(name for name in pixels if name not in done and name not in failed)
    if waiting:
        log.warning(
            "%d slides are not encoded yet (%s); run it again once their workers are done",
            len(waiting),
            some(waiting, 3),
        )
    failures = {name: DataError(why) for name, why in failed.items() if name in pixels}
    return Inputs(done, pixels, {**given.failures, **failures}, waiting)


def patch_pixels(pixels: Mapping[str, Pixels], keys: list[str]) -> Iterator[Pixels | None]:
    """Where the pixels of patches are, by their keys ``<image>[#<x>_<y>]``."""
    for key in keys:
        yield pixels.get(image_of(key))
