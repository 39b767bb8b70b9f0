"""ST sections of every layout, one file a format, read into one form (``form``)."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hage_transfer.config import SectionsSettings
from hage_transfer.csv_table import alike, is_plain_name
from hage_transfer.data.sections import anndata_files, gse144240, her2st, space_ranger, spatialdata_zarr, xenium
from hage_transfer.data.sections.form import KEPT_EMPTY, RawSection, to_anndata
from hage_transfer.data.sections.patients import PATIENTS_FILE, say_rows_without_section
from hage_transfer.errors import DataError, InputError, nearest, some
from hage_transfer.extensions import load_extension
from hage_transfer.running.progress import Progress, under

if TYPE_CHECKING:
    import anndata as ad

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SectionLayout:
    """A layout's three functions.

    Attributes:
        find: settings -> every section and where it is, in the layout's order.
        read: settings, name, where -> the section.
        default: names -> the ones to read where the user names none.
        images: where a section's image is looked for, below the root.
    """

    find: Callable[[SectionsSettings], dict[str, Path]]
    read: Callable[[SectionsSettings, str, Path], RawSection]
    default: Callable[[list[str]], list[str]] = list
    images: str = "a section's image beside its file"


LAYOUTS = {
    "her2st": SectionLayout(her2st.find, her2st.read, her2st.default, "ST-imgs/<patient>/<section>/<image>"),
    "gse144240": SectionLayout(gse144240.find, gse144240.read, gse144240.default, "*_<section>.jpg at any depth"),
    "space_ranger": SectionLayout(
        space_ranger.find,
        space_ranger.read,
        images="the full-resolution image in a section's folder (tissue_*_image of spatial/ are reduced copies)",
    ),
    "anndata": SectionLayout(
        anndata_files.find, anndata_files.read, images="<section>.<ending> beside the h5ad, or what uns names"
    ),
    "hest": SectionLayout(anndata_files.find, anndata_files.read, images="wsis/<section>.tif beside st/"),
    "xenium": SectionLayout(
        xenium.find, xenium.read, images="an H&E image in a section's folder; morphology images are passed over"
    ),
    "spatialdata": SectionLayout(spatialdata_zarr.find, spatialdata_zarr.read),
}


def _layout(name: str) -> SectionLayout:
    """One of this project's, or of an installed distribution."""
    if name in LAYOUTS:
        return LAYOUTS[name]
    found = load_extension("section_readers", name)
    if not isinstance(found, SectionLayout):
        raise DataError(f"data.layout = {name}: its entry point gives a {type(found).__name__}, not a SectionLayout")
    return found


def where_images_are(settings: SectionsSettings) -> str:
    """Where a layout's images are looked for, in words."""
    return f"{_layout(settings.layout).images} of {settings.root} (data.layout={settings.layout})"


def section_names(settings: SectionsSettings) -> list[str]:
    """The sections that ``settings`` name, or the layout's default ones, without reading their counts.

    Raises:
        DataError: no such folder, no section in it, a section it does not have, or one whose name leads elsewhere.
    """
    return list(_find(settings))


def read_sections(
    settings: SectionsSettings,
    progress: Progress | None = None,
    *,
    then: "Callable[[ad.AnnData], ad.AnnData]" = lambda section: section,
) -> "list[ad.AnnData]":
    """Reads sections into the one form, in the order of ``section_names``; where progress is shown, it counts them.

    ``then`` makes of each section what is kept of it, before the next is read.

    Raises:
        DataError: a section is missing, a file is missing or not in its form, or spots and image do not fit.
    """
    every, tell = readers(settings), under(progress, "reading")
    sections = []
    read_before: dict[tuple[int, ...], str] = {}
    for name, read in every.items():
        section = read()
        _say_twin(section, read_before)
        sections.append(then(section))
        if tell is not None:
            tell(len(sections), len(every), name)
    _report(sections)
    return sections


def readers(settings: SectionsSettings) -> "dict[str, Callable[[], ad.AnnData]]":
    """A function for each section, in the order of ``section_names``, that reads it; errors as ``read_sections``."""
    layout = _layout(settings.layout)

    def reader(name: str, path: Path) -> "Callable[[], ad.AnnData]":
        return lambda: to_anndata(layout.read(settings, name, path), settings)

    return {name: reader(name, path) for name, path in _find(settings).items()}


def _say_twin(section: "ad.AnnData", read_before: dict[tuple[int, ...], str]) -> None:
    """Warns where an earlier section has the same spots and counts: one of both would train and test."""
    name = section.uns["section"]["name"]
    spots = zlib.crc32("\n".join(section.obs_names).encode())
    found = (*section.shape, spots, zlib.crc32(section.X.indices), zlib.crc32(section.X.data))
    other = read_before.setdefault(found, name)
    if other != name:
        log.warning(
            "sections %s and %s have the same counts at the same spots: one section twice? leave one out "
            "(data.sections), or it trains and tests",
            other,
            name,
        )


def _find(settings: SectionsSettings) -> dict[str, Path]:
    found = _wanted(settings)
    for name, path in found.items():
        if not is_plain_name(name):
            raise DataError(
                f"{path}: a section is called {name!r}, and a section's files take its name, so it holds no / and no "
                '\\ and is not ..; rename it (AnnData: obs["section"], or obs["library_id"] and uns["spatial"])'
            )
    return found


def _wanted(settings: SectionsSettings) -> dict[str, Path]:
    if not settings.root.exists():
        raise DataError(f"{settings.root}: no such folder; set data.root")
    if settings.root.is_file() and settings.layout not in ("anndata", "hest"):
        raise DataError(f"{settings.root}: a file; data.root is the folder that holds the sections")
    layout = _layout(settings.layout)
    found = layout.find(settings)
    if not found:
        raise DataError(f"{settings.root}: no section of the {settings.layout} layout in it; {_other_layout(settings)}")
    if (settings.root / PATIENTS_FILE).is_file():
        say_rows_without_section(settings.root / PATIENTS_FILE, frozenset(found))
    if settings.sections is None:
        return {name: found[name] for name in layout.default(list(found))}
    for name in settings.sections:
        if name not in found:
            (near,) = nearest(name, found)
            raise DataError(f"{settings.root}: no section {name} (nearest: {near}); it has {some(list(found), 40)}")
    if len(set(settings.sections)) < len(settings.sections):
        raise DataError(f"data.sections names a section more than once: {', '.join(settings.sections)}")
    if not settings.sections:
        raise DataError("data.sections is empty; name at least one section, or leave it out")
    return {name: found[name] for name in settings.sections}


def _other_layout(settings: SectionsSettings) -> str:
    """What is there instead, for the message."""
    for name, layout in LAYOUTS.items():
        try:
            found = layout.find(settings)
        except InputError:
            continue
        if found:
            return f"it holds {len(found)} of the {name} layout; set data.layout={name}"
    return "check data.root and data.layout (docs: Formats of ST data)"


def _report(sections: "list[ad.AnnData]") -> None:
    """Logs what was read, what did not fit, and which resolution each image has and by what."""
    facts = [section.uns["section"] for section in sections]
    log.info("%d sections, %d spots", len(sections), sum(section.n_obs for section in sections))
    for kind in dict.fromkeys(kind for fact in facts for kind in fact["mismatches"]):
        found = [f"{fact['name']} {fact['mismatches'][kind]}" for fact in facts if fact["mismatches"].get(kind)]
        if found:
            done = "kept" if kind == KEPT_EMPTY else "left out"
            log.info("%s, %s: %s", done, kind.replace("_", " "), some(found, 40))
    for fact in facts:
        if fact["mpp_source"]:
            log.info("section %s: %.4g um/px by %s", fact["name"], fact["mpp_um_per_px"], fact["mpp_source"])
        elif fact["image_path"]:
            log.warning(
                "section %s: nothing tells the resolution of %s; data.mpp_um_per_px gives it, or data.spot_spacing_um",
                fact["name"],
                fact["image_path"],
            )
    pairs = alike(str(fact["patient"]) for fact in facts)
    if pairs:
        log.warning(
            "patients %s differ only in case, separators, zeros or unseen signs and count as two, of whom one can "
            "train while the other is held out; spell them alike if they are one (patients.csv)",
            some([f"{one} and {other}" for one, other in pairs]),
        )
    imageless = [fact["name"] for fact in facts if not fact["image_path"]]
    if imageless:
        log.info(
            "without image, so they serve only gene panel and co-expression (%d): %s",
            len(imageless),
            some(imageless, 40),
        )
