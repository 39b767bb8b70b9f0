import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hage_transfer.compare.records import Record, summarise
from hage_transfer.compare.results import Results

BASELINES = {"ridge": 0.21, "gene_mean": 0.0, "gene_median": 0.0, "all_zero": 0.0, "spot_depth": 0.17}


def write_run(path: Path, records: list[Record], meta: dict[str, object]) -> Path:
    path.mkdir(parents=True)
    Results([*records, *summarise(records)], meta).save(path / "results.json")
    (path / "config.yaml").write_text("seed: 0\ndata:\n  root: <here>\n", encoding="utf-8")
    environment = {"command": ["hage", "probe"], "commit": "abc123", "packages": {"torch": "2.14"}}
    (path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    return path


def classifier_records(task: str, gain: float, rng: np.random.Generator, n_trials: int = 2) -> list[Record]:
    records = []
    for fold in map(str, range(5)):
        for metric, base in (("accuracy", 0.80), ("auc", 0.86), ("recall", 0.75)):
            frozen = base + float(rng.normal(0, 0.03))
            trials = [frozen + gain + float(rng.normal(0, 0.005)) for _ in range(n_trials)]
            records.append(
                Record(task=task, source="frozen", split="test", fold=fold, trial=None, metric=metric, value=frozen)
            )
            records += [
                Record(task=task, source="hage", split="test", fold=fold, trial=k, metric=metric, value=value)
                for k, value in enumerate(trials)
            ]
            records.append(
                Record(
                    task=task,
                    source="hage",
                    split="test",
                    fold=fold,
                    trial=None,
                    metric=metric,
                    value=float(np.mean(trials)),
                )
            )
    return records


def write_predictions(path: Path, key: str, rng: np.random.Generator) -> None:
    columns = ["source", "trial", key, "fold", "label", "predicted", "probability_0", "probability_1"]
    labels = rng.integers(0, 2, 80)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        for source, trial in (("frozen", ""), ("hage", 0), ("hage", 1)):
            for row, label in enumerate(labels):
                p = float(np.clip(0.5 + 0.2 * (2 * label - 1) + rng.normal(0, 0.2), 0, 1))
                writer.writerow([source, trial, f"row{row}", row % 5, label, int(p > 0.5), 1 - p, p])


def gene_records(rng: np.random.Generator) -> list[Record]:
    records = []
    for fold in ("B", "C"):
        for source, base in {"hage": 0.22, "hage_averaged": 0.25, **BASELINES}.items():
            calibrated = ("mse_calibrated", "mae_calibrated") if source.startswith("hage") else ()
            for trial in (0, 1, None) if source == "hage" else (None,):
                for metric in ("pcc_all", "pcc_heg50", "mse", "mae", *calibrated):
                    values = [base + float(rng.normal(0, 0.02)) for _ in range(2)]
                    records += [
                        Record(
                            task="pretrain",
                            source=source,
                            split="test",
                            fold=fold,
                            trial=trial,
                            metric=metric,
                            value=value,
                            section=f"{fold}{n}",
                        )
                        for n, value in enumerate(values, 1)
                    ]
                    records.append(
                        Record(
                            task="pretrain",
                            source=source,
                            split="test",
                            fold=fold,
                            trial=trial,
                            metric=metric,
                            value=float(np.mean(values)),
                        )
                    )
    return records


def write_curves(path: Path) -> None:
    lines = ["fold,trial,epoch,term,value"]
    for trial in (0, 1):
        for epoch in range(6):
            for term, value in (
                ("train/clip_local", 4.8 / (1 + 0.2 * epoch)),
                ("train/clip_local_chance", 4.852),
                ("val/pcc", 0.1 * epoch / 6),
            ):
                lines.append(f"B,{trial},{epoch},{term},{value + 0.02 * trial}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """As ``make_runs``, one's own."""
    return make_runs(tmp_path)


def make_runs(tmp_path: Path) -> dict[str, Path]:
    """Three finished runs: a pretraining, a probe in which HAGE gains, and a MIL run in which nothing differs."""
    rng = np.random.default_rng(0)
    meta = {"classes": ["0", "1"], "positive": "1", "rows": 80, "folds_by": "group"}
    probe = write_run(tmp_path / "probe", classifier_records("probe", 0.05, rng), {"task": "probe", **meta})
    write_predictions(probe / "predictions.csv", "key", rng)
    mil = write_run(tmp_path / "mil", classifier_records("mil", 0.0, rng), {"task": "mil", **meta})
    write_predictions(mil / "predictions.csv", "slide", rng)
    pretrain_meta = {
        "preset": "spot_log10",
        "split_unit": "patient",
        "heg_rule": "50 genes of highest mean in the train sections",
        "n_genes": {"B": 140, "C": 150},
        "encoder": "embedded",
        "warnings": ["ridge beats HAGE on mse: 0.1 against 0.2 <b>"],
    }
    pretrain = write_run(tmp_path / "pretrain", gene_records(rng), pretrain_meta)
    write_curves(pretrain / "curves.csv")
    return {"pretrain": pretrain, "probe": probe, "mil": mil}
