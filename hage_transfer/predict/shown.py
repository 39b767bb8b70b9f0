"""What is shown of a prediction: maps, scores of genes, a row of the table."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad

from hage_transfer.predict.tasks import PredictSettings
from hage_transfer.report.maps import draw_attention, draw_gene

SCORE_COLUMNS = ("name", "gene", "pcc", "validation_pcc", "n_spots", "preset", "trained_on")


def draw(prediction: ad.AnnData, settings: PredictSettings, folder: Path) -> list[str]:
    """Draws the genes asked for, or the best; returns them."""
    facts, scored = prediction.uns["hage"], "pcc" in prediction.var
    column = "pcc" if scored else "validation_pcc"
    genes = list(settings.genes)
    if not genes:
        genes = list(
            prediction.var[column].dropna().sort_values(ascending=False, kind="stable").index[: settings.n_maps]
        )
    notes = []
    if not settings.genes:
        by = "PCC here" if scored else "validation PCC in training"
        notes.append(f"one of the {len(genes)} best of {prediction.n_vars} genes by {by}")
    if facts["trained_on"]:
        notes.append("the encoders trained on this section")
    for gene in genes:
        draw_gene(prediction, gene, folder / f"{facts['name']}.{_file_name(gene)}.png", note="; ".join(notes))
    if "attention" in prediction.layers and (settings.genes or settings.n_maps):
        strongest = str(facts["attention_gene"])
        for gene in settings.genes or ([strongest] if strongest else []):
            draw_attention(prediction, gene, folder / f"{facts['name']}.attention.{_file_name(gene)}.png")
    return genes


def _file_name(gene: str) -> str:
    return re.sub(r"[^\w.-]", "_", gene)


def score_rows(prediction: ad.AnnData) -> list[dict[str, Any]]:
    """One row a gene, best first; none where there are no counts."""
    if "pcc" not in prediction.var:
        return []
    facts = prediction.uns["hage"]
    shared = {"name": facts["name"], "n_spots": prediction.n_obs, "preset": facts["preset"]}
    return [
        {
            **shared,
            "gene": gene,
            "pcc": _cell(row["pcc"]),
            "validation_pcc": _cell(row["validation_pcc"]),
            "trained_on": bool(facts["trained_on"]),
        }
        for gene, row in prediction.var.sort_values("pcc", ascending=False, kind="stable").iterrows()
    ]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def summary(prediction: ad.AnnData, drawn: Sequence[str]) -> dict[str, Any]:
    """How much was predicted, by how many encoders, how well (where there are counts), and which genes were drawn."""
    facts = prediction.uns["hage"]
    scored = "pcc" in prediction.var
    pcc = prediction.var["pcc"] if scored else None
    return {
        "name": str(facts["name"]),
        "rows": prediction.n_obs,
        "of": "tiles" if facts["shape"] == "square" else "spots",
        "genes": prediction.n_vars,
        "encoders": len(facts["encoders"]),
        "pcc_all": None if pcc is None else float(pcc.mean()),
        "constant_genes": None if pcc is None else int(pcc.isna().sum()),
        "trained_on": bool(facts["trained_on"]),
        "drawn": ", ".join(drawn if pcc is None else (f"{gene} {pcc[gene]:.3f}" for gene in drawn)),
    }
