"""One slide explained: its attention, its pictures, its tiles and their genes, as files of one folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.data.feature_file import Features
from hage_transfer.data.feature_layouts import open_features
from hage_transfer.errors import DataError
from hage_transfer.explain.files import RECORD_FILE, ExplainedTiles, write_gene_table
from hage_transfer.explain.genes import GeneModels, TileGenes, tile_genes
from hage_transfer.explain.images import SlideImage, level0_mpp, refuse_other_scan, tile_places
from hage_transfer.explain.pictures import CONTACT_FILE, GEOJSON_FILE, MAP_FILE, SCORE_MAPS, draw_pictures
from hage_transfer.explain.task import SCHEMA_VERSION, SlideTask
from hage_transfer.mil.deciding_genes import deciding_tiles, directions
from hage_transfer.mil.heatmap import explain
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.running.atomic import remove_partial, write_json
from hage_transfer.running.run_directory import GENES_FILE, H5AD_FILE, TILES_FILE
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.slide import Slide

log = logging.getLogger(__name__)

FILES = (MAP_FILE, GEOJSON_FILE, CONTACT_FILE, TILES_FILE, GENES_FILE, H5AD_FILE)
EVEN_GENES = 0.99
FEW_DIRECTIONS = 0.1


def explain_slide(task: SlideTask) -> None:
    """Makes the folder of one slide; ``heatmap.json`` is its last file.

    Raises:
        DataError: features, models or the image cannot be read, or are others than when the run was made.
    """
    inputs = task.inputs_sha256()
    for name in (
        RECORD_FILE,
        *_files(task.out),
    ):  # a slide has no file that this call did not make
        (task.out / name).unlink(missing_ok=True)
    remove_partial(task.out)
    trials = sorted({trial for _, trial in task.slide.probabilities})
    bags = task.source.bags[trials[0]]
    explanation = explain(
        task.slide,
        task.models(),
        {trial: task.source.bags[trial].load(task.bag) for trial in trials},
        bags.coords(task.bag),
        column=task.column,
    )
    facts = open_features(bags.paths[task.bag])
    table = ExplainedTiles(explanation, deciding_tiles(explanation.attention, share=task.options.share), facts.coords)
    cautions = explanation.cautions(table.deciding)
    with _image(task.image) as slide:
        if slide is not None:
            refuse_other_scan(facts, slide)
        is_tables_alone = slide is None and facts.meta.patch_size_level0_px <= 0
        places = None if facts.coords is None or is_tables_alone else tile_places(facts.coords, facts.meta, slide)
        table = table.at(places)
        if slide is not None and places is not None:
            px, source, top = facts.meta.patch_size_px, task.source.name, task.options.top
            draw_pictures(task.out, slide, places, table, px=px, source=source, top=top)
        mpp = level0_mpp(facts.meta, slide)
    table.write_csv(task.out / TILES_FILE)
    genes, notes = _genes(task, table)
    cautions += notes
    names = () if task.source.genes is None else _ensemble(task.source.genes).genes
    table.write_h5ad(task.out / H5AD_FILE, genes, names, _facts(task, cautions))
    record = {
        "schema_version": SCHEMA_VERSION,
        "inputs_sha256": inputs,
        "files": [name for name in _files(task.out) if (task.out / name).is_file()],
        "row": _row(task, table, mpp, cautions),
    }
    write_json(task.record, record)


def _files(folder: Path) -> list[str]:
    """Names that a slide's folder may hold beside its record."""
    return [*FILES, *sorted(path.name for path in folder.glob(SCORE_MAPS))]


def _row(task: SlideTask, table: ExplainedTiles, mpp: float | None, cautions: list[str]) -> dict[str, Any]:
    """The slide's row of slides.csv."""
    explanation = table.explanation
    if explanation.shown:
        pairs = zip(explanation.shown, explanation.probabilities, strict=True)
        said: dict[str, Any] = {one.name: float(f"{value:.6g}") for one, value in pairs}
    else:
        said = {"predicted": explanation.predicted, "probability": round(explanation.probability, 6)}
    return {
        "slide": task.slide.name,
        "path": "" if task.image is None else str(task.image.path),
        "label": task.slide.label,
        **said,
        "fold": " ".join(task.slide.folds),
        "n_tiles": len(table),
        "mpp": "" if mpp is None else round(mpp, 6),
        "models": len(task.slide.probabilities),
        "n_deciding": int(table.deciding.sum()),
        "attention_entropy": round(explanation.entropy, 4),
        "agreement": "" if np.isnan(explanation.agreement) else round(explanation.agreement, 4),
        "cautions": "; ".join(cautions),
    }


def _genes(task: SlideTask, table: ExplainedTiles) -> tuple[TileGenes | None, list[str]]:
    """Genes of the tiles, with their table written, and what a reader must know of them."""
    if task.source.genes is None or task.frozen is None:
        return None, [task.source.why_no_genes] if task.source.why_no_genes else []
    ensemble = _ensemble(task.source.genes)
    opened = open_features(task.frozen).read()
    _check_rows(task, opened, len(table))
    places = table.coords if table.centres is None else table.centres
    features = opened.features if places is None else ensemble.in_context(opened.features, places)
    genes = tile_genes(ensemble, features)
    notes = []
    varied = directions(genes.expression)
    if varied < FEW_DIRECTIONS * len(ensemble.genes):
        notes.append(
            f"the {len(ensemble.genes)} predicted genes vary along about {varied:.1f} directions: genes of like effect "
            "cannot be told apart"
        )
    if genes.attention is not None and genes.entropy > EVEN_GENES:
        notes.append(f"gene attention is nearly even (entropy {genes.entropy:.4f} of 1): read its order with care")
    deciding = table.deciding
    if not deciding.any() or deciding.all():
        why = "no tile decided" if not deciding.any() else "every tile decided"
        return genes, [*notes, f"no gene table: {why}, so there is nothing to compare"]
    write_gene_table(task.out / GENES_FILE, ensemble.genes, genes, table, task.source.genes.quality)
    return genes, notes


def _check_rows(task: SlideTask, frozen: Features, n_tiles: int) -> None:
    """Refuses frozen features of other tiles than the ones that were classified."""
    of_bag = open_features(task.source.bags[0].paths[task.bag])
    same = len(frozen) == n_tiles
    for name in ("coords", "keys"):
        ours, theirs = getattr(frozen, name), getattr(of_bag, name)
        same = same and (ours is None or theirs is None or np.array_equal(ours, theirs))
    if not same:
        raise DataError(
            f"{task.frozen}: its tiles are not those of {of_bag.path}, which were classified; encode the slide again, "
            "or leave the genes out (genes=False)"
        )


def _facts(task: SlideTask, cautions: list[str]) -> dict[str, Any]:
    return {
        "name": task.slide.name,
        "source": task.source.name,
        "label": task.slide.label,
        "encoders": np.array(
            [] if task.source.genes is None else [str(folder) for folder in task.source.genes.folders], dtype=object
        ),
        "preset": "" if task.source.genes is None else _ensemble(task.source.genes).preset,
        "cautions": np.array(cautions, dtype=object),
        "validation_pcc": None if task.source.genes is None else task.source.genes.quality.validation_pcc,
        "heldout_pcc": None if task.source.genes is None else task.source.genes.quality.heldout_pcc,
    }


@contextmanager
def _image(image: SlideImage | None) -> Iterator[Slide | None]:
    if image is None or image.path is None:
        yield None
        return
    with open_slide(
        image.path,
        mpp_um_per_px=image.fallback_mpp_um_per_px,
        own_mpp_um_per_px=image.own_mpp_um_per_px,
        needs_resolution=False,
    ) as slide:
        yield slide


_loaded: dict[tuple[tuple[Path, ...], str], ExpressionEnsemble] = {}


def _ensemble(genes: GeneModels) -> ExpressionEnsemble:
    """The ensemble of the last source; a worker explains many slides of one."""
    key = genes.folders, genes.device
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = ExpressionEnsemble.from_folders(genes.folders, device=genes.device)
    return _loaded[key]
