"""What an encoder directory says of itself after a run."""

from pathlib import Path

from hage_transfer.models.checkpoint import read_card
from hage_transfer.pretrain.inputs import read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory


def test_each_trials_card_carries_its_own_held_out_scores(config, tmp_path: Path) -> None:
    split = config.split.model_copy(update={"held_out": ("A",)})
    settings = config.model_copy(
        update={"trials": 2, "split": split, "train": config.train.model_copy(update={"epochs": 2})}
    )
    run = tmp_path / "run"
    results = pretrain(settings, read_inputs(settings), RunDirectory.open(run, settings), device="cpu")
    for trial in range(2):
        scores = read_card(run / f"encoders/A/trial_{trial}")["held_out"]["scores"]
        own = {"fold": "A", "section": None}
        assert scores["trial"]["pcc_all"] == results.value(source="hage", trial=trial, metric="pcc_all", **own)
        assert scores["trial"]["mse"] == results.value(source="hage", trial=trial, metric="mse_calibrated", **own)
        assert scores["ridge"]["mse"] == results.value(source="ridge", metric="mse", **own)
        assert scores["hage_averaged"]["mae"] == results.value(source="hage_averaged", metric="mae_calibrated", **own)
    chosen = read_card(run / "encoder")
    assert chosen == read_card(run / f"encoders/A/trial_{chosen['trial']}")
    assert chosen["held_out"]["warnings"] == results.meta["warnings"]
    assert (
        f"| ridge on the same features | {scores['ridge']['pcc_all']:.3f} |" in (run / "encoder/README.md").read_text()
    )
