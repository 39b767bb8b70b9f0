from pathlib import Path

import pytest

from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.report.answer import answer_of, pool
from hage_transfer.report.runs import Run

FROZEN = [0.80, 0.82, 0.84, 0.86, 0.88]
NOISY = [0.03, -0.01, 0.02, -0.02, 0.03]


def run_of(name: str, gains: list[float], *, counts: dict[str, int] | None = None, task: str = "probe") -> Run:
    records = [
        Record(task=task, source=source, split="test", fold=str(fold), trial=None, metric="auc", value=value)
        for source, values in (("frozen", FROZEN), ("hage", [a + b for a, b in zip(FROZEN, gains, strict=False)]))
        for fold, value in enumerate(values[: len(gains)])
    ]
    meta = {} if counts is None else {"class_counts": counts}
    return Run(Path(name), task, Results(records, meta), "", {})


def pooled(*runs: Run):
    return pool([(run, run.named.differences("auc")[0]) for run in runs])


def test_one_run_is_pooled_to_its_own_interval():
    run = run_of("a", NOISY)
    one = run.named.differences("auc")[0]
    found = pooled(run)
    assert found.mean == pytest.approx(one.mean)
    assert found.margin == pytest.approx(one.margin)


def test_runs_of_one_data_set_count_once_and_do_not_sharpen_the_interval():
    counts = {"benign": 32, "malignant": 26}
    one, two = run_of("a", NOISY, counts=counts), run_of("b", NOISY, counts=counts)
    assert pooled(one, two) == pooled(one)
    assert pooled(one, two).n_sets == 1


def test_two_data_sets_halve_the_variance():
    alone = pooled(run_of("a", NOISY))
    both = pooled(run_of("a", NOISY), run_of("b", NOISY))
    assert both.n_sets == 2
    t4, t8 = 2.7764, 2.3060
    assert both.margin == pytest.approx(alone.margin / t4 * t8 / 2**0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("gains", "verdict", "said"),
    [
        ([0.05, 0.06, 0.05, 0.04, 0.05], "gain", "more than the folds' spread explains"),
        ([-0.05, -0.06, -0.05, -0.04, -0.05], "loss", "a loss larger"),
        (NOISY, "within noise", "cannot tell"),
        ([0.05], "not judged", "no spread is known of ucsb (one fold)"),
    ],
)
def test_the_answer_is_one_sentence_with_its_uncertainty(gains, verdict, said):
    answer = answer_of([run_of("ucsb", gains)])
    assert answer.verdict == verdict
    assert said in answer.sentence
    assert answer.sentence.count(". ") == 0
    assert answer.sentence.endswith(".")
    assert ("95% interval" in answer.sentence) == (len(gains) > 1)


def test_folds_that_differ_by_the_same_are_not_judged_as_in_their_own_part():
    records = [
        Record(task="probe", source=source, split="test", fold=str(fold), trial=None, metric="auc", value=value)
        for source, value in (("frozen", 0.75), ("hage", 1.0))
        for fold in range(5)
    ]
    answer = answer_of([Run(Path("tiny"), "probe", Results(records), "", {})])
    assert [one.verdict for one in answer.parts] == [answer.verdict] == ["not judged"]
    assert "no spread is known of tiny (every fold alike)" in answer.sentence
    assert "95% interval" not in answer.sentence


def test_one_run_of_one_fold_is_named_where_others_have_several():
    answer = answer_of([run_of("folds", NOISY), run_of("official", [0.05])])
    assert answer.verdict == "not judged"
    assert "Over 2 data sets" in answer.sentence
    assert answer.sentence.endswith("; no spread is known of official (one fold).")


def test_the_answer_counts_data_sets_and_runs():
    counts = {"0": 10, "1": 12}
    runs = [run_of("a", NOISY, counts=counts), run_of("b", NOISY, counts=counts, task="mil"), run_of("c", NOISY)]
    assert answer_of(runs).sentence.startswith("Over 2 data sets (3 tasks), gene-informed features differ")


def test_images_used_as_patches_and_as_bags_are_one_set():
    patches, bags = run_of("a", NOISY, counts={"0": 300}), run_of("b", NOISY, counts={"0": 58}, task="mil")
    for run in (patches, bags):
        run.results.meta["image_set_sha256"] = "abc"
    assert pooled(patches, bags).n_sets == 1
    assert answer_of([patches, bags]).sentence.startswith("On one data set (2 tasks of one set), gene-informed")


def test_single_trials_are_compared_with_a_single_ridge_and_the_share_of_spots_is_said():
    genes = [
        Record(task="pretrain", source=source, split="test", fold=fold, trial=None, metric="pcc_all", value=value)
        for source, value in (("hage", 0.22), ("hage_averaged", 0.25), ("ridge", 0.2))
        for fold in ("A", "B")
    ]
    answer = answer_of([Run(Path("st"), "pretrain", Results(genes, {"training_share": 0.8}), "", {})])
    assert [part.source for part in answer.parts] == ["hage"]
    records = [
        *genes,
        Record(task="pretrain", source="hage", split="test", fold="C", trial=None, metric="pcc_all", value=0.21),
        Record(task="pretrain", source="ridge", split="test", fold="C", trial=None, metric="pcc_all", value=0.22),
    ]
    said = answer_of([Run(Path("st"), "pretrain", Results(records, {"training_share": 0.8}), "", {})]).sentence
    assert "single trials against one ridge, fitted on 80% of the spots" in said
    assert said.count("95% interval") == 1


def test_a_vote_of_trials_is_held_against_a_vote_of_reduced_rank_ridges():
    values = {"hage": 0.22, "hage_averaged": 0.25, "ridge": 0.2, "bagged_reduced_rank_ridge_averaged": 0.26}
    genes = [
        Record(
            task="pretrain",
            source=source,
            split="test",
            fold=fold,
            trial=None,
            metric="pcc_all",
            value=value + 0.01 * k * (source == "ridge"),
        )
        for source, value in values.items()
        for k, fold in enumerate(("A", "B", "C"))
    ]
    genes[0] = Record(
        task="pretrain", source="hage_averaged", split="test", fold="D", trial=None, metric="pcc_all", value=0.24
    )
    genes.append(
        Record(
            task="pretrain",
            source="bagged_reduced_rank_ridge_averaged",
            split="test",
            fold="D",
            trial=None,
            metric="pcc_all",
            value=0.27,
        )
    )
    answer = answer_of([Run(Path("st"), "pretrain", Results(genes, {"training_share": 0.8}), "", {})])
    (part,) = answer.parts
    assert (part.source, part.baseline) == ("hage_averaged", "bagged_reduced_rank_ridge_averaged")
    assert part.mean == pytest.approx((3 * -0.01 - 0.03) / 4)
    assert "differs from reduced-rank ridge on the frozen features by -0.015" in answer.sentence
    assert "trials averaged on both sides, each fitted on the same spots" in answer.sentence


def test_genes_answer_only_where_nothing_is_classified():
    genes = [
        Record(task="pretrain", source=source, split="test", fold=fold, trial=None, metric="pcc_all", value=value)
        for source, value in (("hage_averaged", 0.25), ("ridge", 0.2))
        for fold in ("A", "B")
    ]
    pretrain = Run(Path("st"), "pretrain", Results(genes), "", {})
    alone = answer_of([pretrain])
    assert "No run here classifies" in alone.sentence
    assert "+0.050" in alone.sentence
    both = answer_of([pretrain, run_of("a", NOISY)])
    assert "On one data set (a)" in both.sentence
    assert [part.task for part in both.parts] == ["probe", "pretrain"]


def test_a_run_of_one_source_leaves_the_question_open():
    records = [Record(task="mil", source="frozen", split="test", fold="0", trial=None, metric="auc", value=0.9)]
    answer = answer_of([Run(Path("m"), "mil", Results(records), "", {})])
    assert answer.verdict == "not judged"
    assert "stays open" in answer.sentence
