"""A plan is the work of a config at the rates of a file; what was not measured is said, and nothing is guessed."""

import json

import pytest

import hage_transfer as ht
from hage_transfer.cli.main import run
from hage_transfer.config import make_config
from hage_transfer.door.calibration import RUNS
from hage_transfer.door.measure import Watch
from hage_transfer.door.plan import planned_stage, stages_of_config
from hage_transfer.door.rates import AT, KINDS, STAGES, Rates, fit

MIL = {
    "data": {"layout": "slides", "root": "none", "labels": "none.csv"},
    "train": {"epochs": 10, "min_epochs": 4, "patience": 3, "validation": 0.0, "final": False},
    "split": {"by_group": False},
}
GIVEN = {"slides": 1000, "tiles": 4000}
RATES = {
    "device": "a card",
    "kind": "cuda",
    "stages": {
        "encode slides": {
            "at": {"name": "embedded"},
            "parts": {"encode": {"seconds": {"slide": 1.0, "tile": 0.01}}},
            "disk_bytes": {"tile": 2**20},
        },
        "mil": {"at": {"width": 352}, "parts": {"train": {"seconds": {"slide_epoch": 0.36}}}},
    },
}


@pytest.fixture
def rates(tmp_path):
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(RATES))
    return path


def test_a_plan_is_the_work_at_the_rates_of_a_file(rates):
    encode, mil = ht.plan(MIL, **GIVEN, rates=rates).stages
    assert encode.hours == pytest.approx(1000 * (1 + 40) / 3600)
    assert encode.disk_gib == pytest.approx(4e6 / 1024)
    assert encode.memory_gib is None and encode.core_hours is None
    assert mil.hours == pytest.approx(10 * 1000 * 0.36 / 3600)


@pytest.mark.parametrize("gpus", [2, 4, 8])
def test_gpus_share_slides_and_one_training_stays_on_one(rates, gpus):
    alone, shared = (ht.plan(MIL, **GIVEN, rates=rates, gpus=n) for n in (1, gpus))
    assert shared.stages[0].hours == pytest.approx(alone.stages[0].hours / gpus)
    assert shared.stages[1].hours == alone.stages[1].hours


def test_early_stop_gives_the_soonest_and_the_latest(rates):
    config = {**MIL, "train": {**MIL["train"], "validation": 0.2}}
    mil = ht.plan(config, **GIVEN, rates=rates).stages[1]
    assert mil.least_hours == pytest.approx(mil.hours * 4 / 10)


def test_the_classifier_of_every_slide_comes_after_the_folds_at_the_trainers_own_share(rates):
    alone, final = (
        ht.plan(MIL, **GIVEN, rates=rates, changes={"train.final": wanted, "split.folds": 5}).stages[1]
        for wanted in (False, True)
    )
    assert final.hours == pytest.approx(alone.hours * (1 + 1 / 4))


def test_without_rates_nothing_is_guessed():
    found = ht.plan(MIL, **GIVEN, gpus=4)
    assert {(one.hours, one.disk_gib, one.memory_gib) for one in found.stages} == {(None, None, None)}
    assert found.hours is None and "not measured" in repr(found)


@pytest.mark.parametrize(
    ("changes", "said"), [({"encoder.name": "uni"}, "name embedded (here uni)"), ({"encoder.precision": "bf16"}, None)]
)
def test_rates_of_other_settings_are_not_taken(rates, changes, said):
    encode = ht.plan(MIL, **GIVEN, rates=rates, changes=changes).stages[0]
    assert (encode.hours is None) == (said is not None)
    assert said is None or said in encode.based_on


WRONG = {
    "tiles: not given": ({"slides": 10}, None),
    "gpus=0: wanted a whole number of 1 to 100,000": ({**GIVEN, "gpus": 0}, None),
    "slides=1000000000000: wanted a whole number of 1 to": ({**GIVEN, "slides": 10**12}, None),
    "tiles=2.5: wanted a whole": ({**GIVEN, "tiles": 2.5}, None),
    "tiles=True: wanted a whole": ({**GIVEN, "tiles": True}, None),
    "slides=4: too few for split.folds=5": ({**GIVEN, "slides": 4}, None),
    "spots=300, n_encoders=35: nothing of this config": ({**GIVEN, "spots": 300, "n_encoders": 35}, None),
    "device=cpu: is what measure=True measures": ({**GIVEN, "device": "cpu"}, None),
    "device=gpu: no device": ({**GIVEN, "device": "gpu"}, None),
    "say nothing of GPUs": ({**GIVEN, "gpus": 4}, {**RATES, "kind": "cpu"}),
    "stages = 3": (GIVEN, {"device": "a", "kind": "cpu", "stages": 3}),
    "milk: no stage; known: encode st": (GIVEN, {**RATES, "stages": {"milk": {}}}),
    "slyde: no kind of work; known: start": (
        GIVEN,
        {**RATES, "stages": {"mil": {"parts": {"train": {"seconds": {"slyde": 1}}}}}},
    ),
    "widht: no setting of rates; known: name": (GIVEN, {**RATES, "stages": {"mil": {"at": {"widht": 352}}}}),
    "unknown key speed": (GIVEN, {**RATES, "speed": 3}),
    "greater than or equal to 0": (
        GIVEN,
        {**RATES, "stages": {"mil": {"parts": {"train": {"seconds": {"job": -1}}}}}},
    ),
    "is no file of rates": (GIVEN, [1]),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_one_message(tmp_path, said):
    given, tree = WRONG[said]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(RATES if tree is None else tree))
    with pytest.raises(ht.InputError, match=said):
        ht.plan(MIL, **given, rates=path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"patients": 9}, "patients=9: more than there are sections .8."),
        ({"patients": 1}, "patients=1: one is held out and none is left"),
        ({"sections": 1, "changes": {"split.unit": "section"}}, "sections=1: one is held out"),
    ],
)
def test_patients_and_sections_that_cannot_be_held_out_are_refused(given, said):
    with pytest.raises(ht.ConfigError, match=said):
        ht.plan("pretrain/her2st", **{"sections": 8, "spots": 300, **given})


def test_rates_that_go_by_other_work_are_not_taken_for_free(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**RATES, "stages": {"mil": {"parts": {"train": {"seconds": {"patch": 1.0}}}}}}))
    mil = ht.plan(MIL, **GIVEN, rates=path).stages[1]
    assert mil.hours is None and "train goes by job, slide_epoch" in mil.based_on


def test_the_largest_study_is_planned_without_a_list_of_its_slides(rates):
    encode = ht.plan(MIL, slides=10**9, tiles=10, rates=rates, gpus=7).stages[0]
    assert encode.hours == pytest.approx(1e9 * 1.1 / 7 / 3600)


def test_every_stage_kind_and_setting_of_a_plan_is_one_that_rates_may_be_of():
    given = {"sections": 32, "spots": 360, "patients": 7, "patches": 700, "slides": 58, "tiles": 35}
    for stage in stages_of_config("compare/ucsb", {}, given):
        works = [stage.kept, stage.held, *(work for part in stage.parts for work in (part.work, part.least))]
        assert stage.name in STAGES and set(stage.at) <= set(AT)
        assert {kind for work in works for kind in work} <= set(KINDS)


def test_all_stages_together_are_the_last_row(rates):
    found = ht.plan(MIL, **GIVEN, rates=rates)
    assert found.hours == found.whole.hours == pytest.approx(sum(one.hours for one in found.stages))
    assert found.rows()[-1][0] == "all" and found.whole.memory_gib is None


def test_the_command_prints_a_row_a_stage_and_refuses_with_exit_2(rates, capsys):
    arguments = ["plan", "mil/ucsb", "--n-encoders", "5", "--slides", "58", "--tiles", "35"]
    assert run([*arguments, "--rates", str(rates)]) == 0
    shown = capsys.readouterr().out
    assert "58" in shown and "not measured: it is not among the rates" in shown and "a card" in shown
    assert run([*arguments[:2], "--rates", str(rates)]) == 2
    assert "give --slides" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "given", "stages"),
    [
        ("pretrain/her2st", {"sections": 32, "spots": 360, "patients": 7}, ["encode st", "pretrain"]),
        ("probes/pcam", {"patches": 327_680, "n_encoders": 35}, ["encode patches", "embed", "probe"]),
        ("mil/tcga_brca", GIVEN, ["encode slides", "embed", "mil"]),
        (
            "compare/ucsb",
            {"sections": 32, "spots": 360, "patients": 7, "patches": 700, "slides": 58, "tiles": 35},
            ["encode st", "pretrain", "encode patches", "embed", "probe", "encode patches", "embed", "mil"],
        ),
    ],
)
def test_every_kind_of_config_has_its_stages(recipe, given, stages):
    found = [one.name for one in ht.plan(recipe, **given).stages]
    assert found[:3] == stages[:3] and set(found) <= {*stages, "encode slides"}


def test_the_pretraining_matrix_is_systems_x_folds_x_trials():
    (pretrain,) = (
        one
        for one in stages_of_config(
            "pretrain/her2st",
            {"split.unit": "section", "methods": ["hage", "pca_ridge"]},
            {"sections": 32, "spots": 100},
        )
        if one.name == "pretrain"
    )
    assert {part.name: part.jobs for part in pretrain.parts} == {
        "start": 1,
        "hage": 32 * 5,
        "pca_ridge": 32,
        "scores": 32,
        "controls": 32,
    }


def test_rates_of_runs_are_those_that_made_them():
    runs = [({"slide": s, "tile": t}, 0.5 * s + 0.01 * t) for s, t in ((1, 10), (4, 40), (1, 400))]
    rates, error = fit(runs)
    assert rates == pytest.approx({"slide": 0.5, "tile": 0.01}) and error < 1e-9
    assert fit(runs[:2])[1] is None  # as many rates as runs: they say nothing of each other


@pytest.mark.slow
def test_measured_rates_foretell_another_run_of_the_same_size(tmp_path):
    """The calibration itself, of the quickest stage: its own runs lie near what its rates say, and a file keeps it."""
    config = {**MIL, "data": {**MIL["data"]}, "train": {"epochs": 2, "validation": 0.0}, "model": {"hidden_dim": 0}}
    (stage,) = (one for one in stages_of_config(config, {}, {"slides": 20, "tiles": 64}) if one.name == "mil")
    watch = Watch(tmp_path / "work")
    watch.folder.mkdir()
    measured = watch.rates(RUNS["mil"](stage, watch, "cpu"))
    rates = make_config(Rates, {"device": "here", "kind": "cpu", "stages": {"mil": measured.model_dump()}})
    rates.save(tmp_path / "rates.json")
    kept = Rates.read(tmp_path / "rates.json")
    assert kept == rates
    found = planned_stage(stage, kept, 1)
    assert 0 < found.hours < 0.1 and found.disk_gib > 0 and found.memory_gib > 0.1
