from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import hage_transfer as ht
from hage_transfer.cli.main import run
from hage_transfer.demo.programs import PROGRAMS
from hage_transfer.report.runs import read_run


def test_demo_of_another_seed_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "made_with.json").write_text('{"seed": 3}', encoding="utf-8")
    assert run(["demo", "--out", str(tmp_path), "--seed", "4"]) == 2


@pytest.mark.slow
def test_demo_predicts_the_programme_that_labels_hang_on(tmp_path: Path) -> None:
    ht.demo(tmp_path, size="small", device="cpu")
    for task in ("pretrain", "probe", "mil"):
        assert read_run(tmp_path / task).task == task
    assert (tmp_path / "report.html").is_file()
    correlations = []
    for path in sorted((tmp_path / "pretrain" / "predictions").glob("*.h5ad")):
        predicted = ad.read_h5ad(path)
        genes = [gene for gene in PROGRAMS["activated"] if gene in predicted.var_names]
        own = predicted[:, genes]
        correlations.append(float(np.corrcoef(own.X.mean(1), own.layers["target"].mean(1))[0, 1]))
    assert len(correlations) == 3
    # A shuffled image would give 0; the tumour's share alone gives less than this.
    assert min(correlations) > 0.4, correlations
    results = (tmp_path / "probe" / "results.json").read_bytes()
    ht.demo(tmp_path, size="small", device="cpu")
    assert (tmp_path / "probe" / "results.json").read_bytes() == results
