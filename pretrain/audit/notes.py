"""What stands beside every gene table: how it was made, and where a number deserves doubt."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.compare.records import MEAN, Record
from hage_transfer.compare.split_sizes import META, SplitSizes
from hage_transfer.config import config_sha256, file_sha256
from hage_transfer.data.genes import read_symbols
from hage_transfer.pretrain.audit.differences import differences_meta
from hage_transfer.pretrain.audit.intervals import against_meta, intervals_meta
from hage_transfer.pretrain.audit.known_panels import panel_warnings
from hage_transfer.pretrain.audit.quoted import quoted_rows
from hage_transfer.pretrain.config import OWN_PREFIX, PretrainConfig
from hage_transfer.pretrain.contenders import Contender
from hage_transfer.pretrain.controls.zero_shot import zero_shot_meta
from hage_transfer.pretrain.evaluate import AVERAGED, AVERAGED_SUFFIX, SHALLOW_SHARE
from hage_transfer.pretrain.inputs import FoldInputs, Inputs
from hage_transfer.pretrain.methods.registry import METHODS
from hage_transfer.pretrain.ridges import BAGGED, BAGGED_BAR, RIDGES
from hage_transfer.pretrain.shallow_spots import shallow_counts, shallow_note
from hage_transfer.pretrain.trial_files import HAGE, SHUFFLED

SHALLOW_CHANGE = 0.1
AT_CHANCE = 0.95
EVEN = 0.999


def run_meta(
    run: Path,
    records: Sequence[Record],
    scores: Mapping[str, Mapping[str, Any]],
    inputs: Inputs,
    folds: Sequence[FoldInputs],
    config: PretrainConfig,
    entrants: Sequence[Contender],
) -> dict[str, Any]:
    """The ``meta`` of a pretraining run's results."""
    meta = folds[0].meta
    panel = config.genes.panel
    patients = {name: section.uns["section"]["patient"] for name, section in inputs.sections.items()}
    compared = [one.method for one in entrants if one.method is not None]
    n_spots = {name: section.n_obs for name, section in inputs.sections.items()}
    return {
        "preset": config.preset,
        "split_unit": config.split.unit,
        "min_counts": config.data.min_counts,
        "heg_rule": f"50 genes of highest mean in the {config.heg_from} sections",
        "panel": {"from": str(panel), "sha256": file_sha256(panel) if isinstance(panel, Path) else None},
        "n_genes": {fold.fold.name: len(fold.genes.symbols) for fold in folds},
        "gene_embeddings": {fold.fold.name: fold.genes.source for fold in folds},
        "inputs_sha256": {fold.fold.name: fold.sha256 for fold in folds},
        "sections": {
            name: {"spots": section.n_obs, **section.uns["section"]["mismatches"]}
            for name, section in inputs.sections.items()
        },
        "synthetic": meta.synthetic,
        "encoder": meta.encoder,
        "encoder_sha256": meta.encoder_sha256,
        "encoder_licence": meta.encoder_licence,
        "folds": {fold.fold.name: {"train": list(fold.fold.train), "test": list(fold.fold.test)} for fold in folds},
        "ridge_alpha": {name: score["ridge_alpha"] for name, score in scores.items()},
        "tuned_baselines": {name: score["tuned"] for name, score in scores.items()},
        "validation_pcc": {name: score["validation_pcc"] for name, score in scores.items()},
        "validation_by": config.split.validation_by,
        "constant_genes": _constant_genes(records),
        "methods": {one.name: {"title": one.title, "reference": one.reference} for one in compared},
        "own_methods": [name for name in config.methods if name.startswith(OWN_PREFIX)],
        "variants": config.variants,
        "differences": differences_meta(records, baseline=HAGE),
        "by_patient": _by_patient(records, patients),
        "patients": patients,
        "training_share": 1 - config.split.validation,
        META: _patient_sizes(inputs, folds, patients).meta(),
        "intervals": intervals_meta(records, patients, seed=config.seed),
        "hage_less": against_meta(records, patients, source=AVERAGED, seed=config.seed),
        "quoted": _quoted(config),
        "zero_shot": {fold.fold.name: zero_shot_meta(fold.unseen, config) for fold in folds if fold.unseen is not None},
        "config_sha256": config_sha256(config),
        "warnings": [
            *_below_bar(records),
            *_beaten(records),
            *_at_chance(run),
            *_even_attention(records),
            *_shallow(records),
            *shallow_note(shallow_counts(list(inputs.sections.values())), n_spots, config.data.min_counts),
            *_leakage(config),
            *_panel(config),
        ],
    }


def _patient_sizes(inputs: Inputs, folds: Sequence[FoldInputs], patients: Mapping[str, str]) -> SplitSizes:
    """Spots that were tested of each patient, and that trained for it (the mean over the folds that test it)."""
    spots = {name: section.n_obs for name, section in inputs.sections.items()}
    tested: dict[str, int] = {}
    trained: dict[str, list[int]] = {}
    for one in folds:
        for patient in {patients[name] for name in one.fold.test}:
            trained.setdefault(patient, []).append(sum(spots[name] for name in one.fold.train))
        for name in one.fold.test:
            tested[patients[name]] = tested.get(patients[name], 0) + spots[name]
    train = {patient: round(sum(found) / len(found)) for patient, found in trained.items()}
    return SplitSizes(train, tested, sum(tested.values()), evenly=True)


def _by_patient(records: Sequence[Record], patients: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """PCC over all genes of each method, by patient: the mean of the patient's test sections, each scored alone."""
    values: dict[str, dict[str, list[float]]] = {}
    for r in records:
        if r.metric == "pcc_all" and r.section is not None and r.trial is None and r.value is not None:
            values.setdefault(r.source, {}).setdefault(patients[r.section], []).append(r.value)
    return {
        source: {patient: sum(found) / len(found) for patient, found in by_patient.items()}
        for source, by_patient in values.items()
    }


def _quoted(config: PretrainConfig) -> list[dict[str, Any]]:
    """The paper's own numbers on the data set of this layout, to stand beside the measured ones under their label."""
    dataset = {"her2st": "her2st", "gse144240": "cscc"}.get(config.data.layout)
    return [asdict(row) for row in quoted_rows(dataset=dataset)] if dataset is not None else []


def _constant_genes(records: Sequence[Record]) -> dict[str, int]:
    """Genes whose target is constant in a test section, left out of its PCC, by section."""
    found = {r.section: r.value for r in records if r.metric == "n_constant_genes" and r.source == "ridge"}
    return {section: int(value) for section, value in found.items() if section is not None and value is not None}


def _below_bar(records: Sequence[Record]) -> list[str]:
    """Whether a vote of as many reduced-rank ridges, on the same spots, predicts as well as HAGE's trials do."""
    found = {
        r.source: r.value
        for r in records
        if (r.metric, r.fold, r.trial) == ("pcc_all", MEAN, None) and r.value is not None
    }
    own, bar = found.get(AVERAGED), found.get(f"{BAGGED_BAR}{AVERAGED_SUFFIX}")
    if own is None or bar is None or own > bar:
        return []
    return [
        f"HAGE's PCC over all genes, {own:.4f}, is not above tuned reduced-rank ridge's, {bar:.4f} (both averaged over "
        "trials of the same spots): nothing below tuned reduced-rank ridge is a result"
    ]


def _beaten(records: Sequence[Record]) -> list[str]:
    """Baselines that beat HAGE on average over folds."""
    means = {
        (r.source, r.metric): r.value for r in records if r.fold == MEAN and r.trial is None and r.value is not None
    }
    warnings = []
    for metric, baselines, better in (
        ("pcc_all", ("ridge", *RIDGES, *BAGGED, "spot_depth", SHUFFLED, *METHODS), "higher"),
        ("mse", ("ridge", *RIDGES, *BAGGED, "gene_mean", "all_zero", "spot_depth", *METHODS), "lower"),
        ("mae", ("ridge", *RIDGES, *BAGGED, "gene_median", "all_zero", "spot_depth", *METHODS), "lower"),
    ):
        own = means.get((AVERAGED, metric if metric == "pcc_all" else f"{metric}_calibrated"))
        for baseline in baselines:
            other = means.get((f"{baseline}{AVERAGED_SUFFIX}", metric), means.get((baseline, metric)))
            if own is None or other is None or f"{own:.4f}" == f"{other:.4f}":
                continue
            if (other > own) if better == "higher" else (other < own):
                how = "averaged trials" if metric == "pcc_all" else "averaged trials, calibrated"
                warnings.append(f"{baseline} beats HAGE on {metric}: {other:.4f} against {own:.4f} ({how})")
    return warnings


def _at_chance(run: Path) -> list[str]:
    """Contrastive terms that ended near ln(number of candidates), where they have learned nothing."""
    curves = pd.read_csv(run / "curves.csv", dtype={"fold": str})
    curves = curves[curves["source"] == HAGE]
    last = curves[curves["epoch"] == curves.groupby(["fold", "trial"])["epoch"].transform("max")]
    table = last.pivot_table(index=["fold", "trial"], columns="term", values="value")
    warnings = []
    for term in ("clip_local", "clip_global"):
        if f"train/{term}" not in table:
            continue
        ratio = table[f"train/{term}"] / table[f"train/{term}_chance"]
        stuck = int((ratio > AT_CHANCE).sum())
        if stuck:
            warnings.append(f"{term} ended within 5% of its value at chance in {stuck} of {len(table)} trials")
    return warnings


def _even_attention(records: Sequence[Record]) -> list[str]:
    """Whether GE tells genes apart: where its attention is even, it adds one vector to all spots."""
    found = [
        r.value for r in records if (r.source, r.metric, r.fold, r.trial) == (HAGE, "attention_entropy", MEAN, None)
    ]
    if not found or found[0] is None or found[0] < EVEN:
        return []
    return [
        f"attention to genes is even (entropy {found[0]:.5f} of its most): the encoder adds the same vector to every "
        "spot, so which genes it was given does not matter"
    ]


def _shallow(records: Sequence[Record]) -> list[str]:
    """Whether a few shallow spots carry the score, whose genes all fall together by depth alone."""
    means = {r.metric: r.value for r in records if (r.source, r.fold, r.trial) == (AVERAGED, MEAN, None)}
    whole, deep = means.get("pcc_all"), means.get("pcc_all_deep")
    if whole is None or deep is None or abs(whole - deep) < SHALLOW_CHANGE * abs(whole):
        return []
    return [
        f"the {SHALLOW_SHARE:.0%} of spots with fewest counts carry part of HAGE's PCC over all genes: {whole:.3f} "
        f"with them, {deep:.3f} without"
    ]


def _leakage(config: PretrainConfig) -> list[str]:
    if config.split.unit == "patient":
        return []
    return ["folds leave out sections: others of the same patient may train (split.unit = patient avoids that)"]


def _panel(config: PretrainConfig) -> list[str]:
    """What a panel of a file is known to have seen."""
    if not isinstance(config.genes.panel, Path):
        return []
    return panel_warnings(read_symbols(config.genes.panel), layout=config.data.layout)
