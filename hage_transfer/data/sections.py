"""ST sections of four layouts, read into one form (``section_form``)."""

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad

from hage_transfer.config import SectionsSettings
from hage_transfer.data import anndata_files, gse144240, her2st, space_ranger
from hage_transfer.data.section_form import RawSection, some, to_anndata
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SectionLayout:
    """A layout's three functions.

    Attributes:
        find: root -> every section and where it is, in the layout's order.
        read: root, name, where -> the section.
        default: names -> the ones to read where the user names none.
    """

    find: Callable[[Path], dict[str, Path]]
    read: Callable[[Path, str, Path], RawSection]
    default: Callable[[list[str]], list[str]] = list


LAYOUTS = {
    "her2st": SectionLayout(her2st.find, her2st.read, her2st.default),
    "gse144240": SectionLayout(gse144240.find, gse144240.read, gse144240.default),
    "space_ranger": SectionLayout(space_ranger.find, space_ranger.read),
    "anndata": SectionLayout(anndata_files.find, anndata_files.read),
}


def section_names(settings: SectionsSettings) -> list[str]:
    """The sections that ``settings`` name, or the layout's default ones, without reading their counts.

    Raises:
        DataError: no such folder, no section in it, or a section it does not have.
    """
    return list(_find(settings))


def read_sections(settings: SectionsSettings) -> list[ad.AnnData]:
    """Reads sections into the one form, in the order of ``section_names``.

    Raises:
        DataError: a section is missing, a file is missing or not in its form, or spots and image do not fit.
    """
    layout = LAYOUTS[settings.layout]
    sections = []
    for name, path in _find(settings).items():
        sections.append(to_anndata(layout.read(settings.root, name, path), settings))
    _report(sections, settings)
    return sections


def _find(settings: SectionsSettings) -> dict[str, Path]:
    if not settings.root.exists():
        raise DataError(f"{settings.root}: no such folder; set data.root")
    layout = LAYOUTS[settings.layout]
    found = layout.find(settings.root)
    if not found:
        raise DataError(f"{settings.root}: no section of the {settings.layout} layout in it; check data.root")
    if settings.sections is None:
        return {name: found[name] for name in layout.default(list(found))}
    for name in settings.sections:
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1, cutoff=0.0)[0]
            raise DataError(f"{settings.root}: no section {name} (nearest: {near}); it has {some(list(found), 40)}")
    if len(set(settings.sections)) < len(settings.sections):
        raise DataError(f"data.sections names a section more than once: {', '.join(settings.sections)}")
    if not settings.sections:
        raise DataError("data.sections is empty; name at least one section, or leave it out")
    return {name: found[name] for name in settings.sections}


def _report(sections: list[ad.AnnData], settings: SectionsSettings) -> None:
    """Logs what was read, what did not fit, and which resolution the images have."""
    facts = [section.uns["section"] for section in sections]
    log.info("%d sections, %d spots", len(sections), sum(section.n_obs for section in sections))
    for kind in dict.fromkeys(kind for fact in facts for kind in fact["mismatches"]):
        found = [f"{fact['name']} {fact['mismatches'][kind]}" for fact in facts if fact["mismatches"].get(kind)]
        if found:
            log.info("left out, %s: %s", kind.replace("_", " "), some(found, 40))
    mpps = [fact["mpp_um_per_px"] for fact in facts if fact["image_path"]]
    if mpps:
        log.info(
            "images have %.3f to %.3f um/px (data.mpp_um_per_px, else the file's record, else spots %g um apart)",
            min(mpps),
            max(mpps),
            settings.spot_spacing_um,
        )
    imageless = [fact["name"] for fact in facts if not fact["image_path"]]
    if imageless:
        log.info(
            "without image, so they serve only gene panel and co-expression (%d): %s",
            len(imageless),
            some(imageless, 40),
        )
