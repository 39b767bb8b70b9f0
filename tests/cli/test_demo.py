from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from hage_transfer.cli.demo import demo_configs, run_demo
from hage_transfer.cli.main import run
from hage_transfer.demo.files import DemoFiles, DemoSize
from hage_transfer.demo.programs import PROGRAMS
from hage_transfer.report.runs import read_run

SMALL = DemoSize(
    sections=("B1", "C1", "D1"),
    section_px=2400,
    patch_slides=(("train", 3), ("valid", 1), ("test", 1)),
    patches_per_slide=30,
    slides=20,
    slide_px=1024,
)


def test_demo_configs_point_below_out_and_carry_the_seed(tmp_path: Path) -> None:
    out = tmp_path / "a folder: with # marks"
    files = DemoFiles(out / "data" / "sections", out / "data" / "patches", out / "data" / "slides")
    configs = demo_configs(out, files, seed=7)
    assert (configs.pretrain.seed, configs.probe.seed, configs.mil.seed) == (7, 7, 7)
    assert configs.pretrain.data.root == files.sections
    assert configs.probe.data.root == files.patches
    assert configs.mil.data.labels == files.slides / "labels.csv"
    assert configs.probe.sources["hage"].encoder == str(out / "pretrain" / "encoders" / "*" / "trial_*")


def test_demo_of_another_seed_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "made_with.json").write_text('{"seed": 3}', encoding="utf-8")
    assert run(["demo", "--out", str(tmp_path), "--seed", "4"]) == 2


@pytest.mark.slow
def test_demo_predicts_the_programme_that_labels_hang_on(tmp_path: Path) -> None:
    run_demo(tmp_path, seed=0, device="cpu", jobs=1, overwrite=False, size=SMALL)
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
    run_demo(tmp_path, seed=0, device="cpu", jobs=1, overwrite=False, size=SMALL)
    assert (tmp_path / "probe" / "results.json").read_bytes() == results
