"""The work of `hage predict`: each item's prediction file, its attention table, its scores and maps."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.config import config_sha256, file_sha256
from hage_transfer.errors import ConfigError
from hage_transfer.models.checkpoint import PREDICTOR_FILE
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.region_attention import attends_to_genes, region_attention
from hage_transfer.predict.items import Loaded, PredictItem
from hage_transfer.predict.predictions import Predictions
from hage_transfer.predict.regions import named_regions
from hage_transfer.predict.shown import SCORE_COLUMNS, draw, score_rows, summary
from hage_transfer.predict.tasks import EnsembleLoader, PredictSettings, PredictTask, assign_encoders, check_genes
from hage_transfer.report.attention_table import strongest_gene, write_attention_table
from hage_transfer.report.prediction_file import inputs_sha256, make_prediction, read_prediction, write_prediction
from hage_transfer.running.atomic import remove_partial, write_csv, write_json
from hage_transfer.running.file_stamp import written
from hage_transfer.running.items import Items
from hage_transfer.running.job import Job
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)

RUN_FILE, SCORES_FILE, MAPS = "predict.json", "gene_pcc.csv", "maps"
_TOP_GENES = 20


def run_predict(
    items: Sequence[PredictItem],
    folders: Sequence[Path],
    settings: PredictSettings,
    *,
    out: Path,
    device: str,
    overwrite: bool,
    progress: Progress | None = None,
) -> Predictions:
    """Predicts every item; what an earlier, interrupted run finished on the same inputs is kept.

    Raises:
        InputError: encoders, features, genes or ``out`` are not right; found before anything is written.
        ItemsFailedError: some slides failed; they are in ``failures.csv`` and the rest are done.
    """
    tasks = assign_encoders(items, folders, settings)
    loader = EnsembleLoader(device)
    for task in tasks:  # before anything is written
        ensemble = loader.load(task.folders)
        check_genes(settings.genes, ensemble)
        ensemble.check_fits(*task.item.facts())
    _open_out(out, folders, overwrite=overwrite)
    jobs = [Job(task.item.name, None, _predict_item, (task, loader, settings, out)) for task in tasks]
    loop = Items(out, what="predictions", total=len(jobs), progress=progress)
    found = loop.run(jobs).values()
    scores = [row for _, rows in found for row in rows]
    if scores:
        write_csv(out / SCORES_FILE, SCORE_COLUMNS, scores)
    made = Predictions(out, [row for row, _ in found], scores)
    loop.finish(made)
    return made


def _predict_item(
    task: PredictTask, loader: EnsembleLoader, settings: PredictSettings, out: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An item's row of the table, and its rows of the table of genes."""
    prediction = _predict(task, loader.load(task.folders), settings, out=out)
    drawn = draw(prediction, settings, out / MAPS)
    return summary(prediction, drawn), score_rows(prediction)


def _open_out(out: Path, folders: Sequence[Path], *, overwrite: bool) -> None:
    """Makes the folder, or opens it again for the same encoders."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; out= names a folder")
    facts = {"schema_version": 1, "encoders": {str(folder): file_sha256(folder / PREDICTOR_FILE) for folder in folders}}
    if out.is_dir() and any(out.iterdir()):
        if not (out / RUN_FILE).is_file():
            raise ConfigError(f"{out}: exists and holds other files than predictions; give another out=")
        if overwrite:
            shutil.rmtree(out)
        elif _facts(out / RUN_FILE) != facts:
            raise ConfigError(
                f"{out}: holds predictions of other encoders (see {RUN_FILE}); give another out=, or overwrite=True to "
                "delete them"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made ({error.strerror}); give another out=") from None
    remove_partial(out)
    write_json(out / RUN_FILE, facts)


def _facts(path: Path) -> Any:
    try:
        return read_json(path)
    except BoundsError as error:
        raise ConfigError(
            f"{path}: not valid JSON ({error}); give another out=, or overwrite=True to start anew"
        ) from None


def _predict(task: PredictTask, ensemble: ExpressionEnsemble, settings: PredictSettings, *, out: Path) -> ad.AnnData:
    path = out / f"{task.item.name}.h5ad"
    inputs = _inputs(task, ensemble, settings)
    table = _attention_table(task, out)
    attended = settings.attention and attends_to_genes(ensemble)
    if inputs_sha256(path) == inputs and table.is_file() == attended:
        log.info("%s: kept, predicted before from the same inputs", path)
        return read_prediction(path)
    loaded = task.item.load()
    loaded = replace(loaded, features=ensemble.in_context(loaded.features, loaded.place.centres_px))
    provenance = {**_provenance(task, ensemble), "inputs_sha256": inputs}
    target = None if loaded.target is None else loaded.target(ensemble.genes, ensemble.preset)
    by_spot = None
    if settings.attention and not attended:
        log.warning("%s: no attention, an encoder was trained without genes (model.gene_informed false)", path.stem)
    if attended:
        by_spot = _attend(task, ensemble, loaded, settings, provenance, out=out)
    prediction = make_prediction(
        ensemble.predict(loaded.features),
        loaded.place,
        genes=ensemble.genes,
        validation_pcc=ensemble.validation_pcc,
        provenance=provenance,
        target=target,
        attention=by_spot,
    )
    write_prediction(path, prediction)
    return prediction


def _attend(
    task: PredictTask,
    ensemble: ExpressionEnsemble,
    loaded: Loaded,
    settings: PredictSettings,
    provenance: dict[str, Any],
    *,
    out: Path,
) -> np.ndarray:
    """Attention by spot, with its table written; the regions go to ``obs``, their facts to ``provenance``."""
    regions, source = named_regions(task.item, ensemble, loaded, settings.regions, seed=settings.seed)
    attention = region_attention(
        ensemble, loaded.features, regions.codes.astype(np.int64), n_regions=len(regions.categories)
    )
    loaded.place.obs["region"] = regions
    mean = attention.heads[0]
    provenance |= {
        "attention_uniform": mean.uniform,
        "attention_gene": strongest_gene(attention, ensemble.genes) or "",
        "regions_from": source,
    }
    write_attention_table(
        _attention_table(task, out),
        attention,
        genes=ensemble.genes,
        regions=list(regions.categories),
        n_spots=np.bincount(regions.codes, minlength=len(regions.categories)).tolist(),
        encoders=[str(folder) for folder in ensemble.folders],
        n_top=_TOP_GENES,
    )
    ratio = mean.mean / mean.uniform
    log.info(
        "%s: attention of regions lies within %.3f to %.3f times a uniform share",
        task.item.name,
        ratio.min(),
        ratio.max(),
    )
    return attention.by_spot


def _attention_table(task: PredictTask, out: Path) -> Path:
    return out / f"{task.item.name}.attention.csv"


def _inputs(task: PredictTask, ensemble: ExpressionEnsemble, settings: PredictSettings) -> str:
    regions = Path(settings.regions)
    image = task.item.stamp.get("image")
    return config_sha256(
        {
            **task.item.stamp,
            "image": "" if image is None else f"{image.name} {written(image)}",
            "features": file_sha256(task.item.path),
            "encoders": ensemble.hashes(),
            "attention": [settings.attention, settings.regions, settings.seed],
            "regions": file_sha256(regions) if regions.is_file() else "",
            "trained_on": task.trained_on,
        }
    )


def _provenance(task: PredictTask, ensemble: ExpressionEnsemble) -> dict[str, Any]:
    card = ensemble.models[0].card
    encoders, predictors = ensemble.hashes()
    trained = sorted({name for model in ensemble.models for name in model.card.get("train_sections", [])})
    return {
        "hage_transfer_version": version("hage-transfer"),
        "encoders": np.array([str(folder) for folder in ensemble.folders], dtype=object),
        "encoders_sha256": np.array(encoders, dtype=object),
        "predictors_sha256": np.array(predictors, dtype=object),
        "frozen_encoder": str(card.get("frozen_encoder", "unknown")),
        "frozen_encoder_sha256": str(card.get("frozen_encoder_sha256", "unknown")),
        "frozen_encoder_licence": str(card.get("frozen_encoder_licence", "unknown")),
        "preset": ensemble.preset,
        "train_sections": np.array(trained, dtype=object),
        "trained_on": task.trained_on,
        "features": task.item.path.name,
    }
