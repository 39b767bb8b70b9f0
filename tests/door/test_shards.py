"""Parts of a job array and the run that gathers them give what one run gives."""

import pytest

import hage_transfer as ht


def of_jobs(run):
    """When each job's file was written."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("jobs/**/*") if path.is_file()}


def names(made, run):
    """Jobs without the hashes of what went into them, which the stamps of copies are part of."""
    return sorted(path.relative_to(run).as_posix().rsplit("-", 1)[0] for path in made)


def as_made(run):
    """Everything that says numbers, byte for byte."""
    names = ["results.json", "predictions.csv", "cross_checks.csv", "learning_curve.csv"]
    return {name: (run / name).read_bytes() for name in names if (run / name).is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mil", "probe"])
def test_parts_gathered_equal_one_run(small, task):
    train = {"mil": {"repeats": 2, "final": True}, "probe": {"epochs": 2, "final": True}}[task]
    keys = getattr(small, task)
    keys |= {"train": keys.get("train", {}) | train, "sources": {"frozen": {}}}
    given = {"config": keys, "null": 2}
    if task == "probe":
        keys["cross_checks"] = {"classifiers": ["class_mean"]}
        given |= {"manifest": small.manifest, "encoder": "embedded"}
    run = getattr(ht, task)
    whole = run(**given, out="whole")
    parts = [run(**given, out="parts", shard=f"{number}/2") for number in (1, 2)]
    assert all(part.n_jobs for part in parts)
    assert not (parts[0].folder / "results.json").exists()
    assert "without a shard gathers" in repr(parts[0])
    made = of_jobs(parts[0].folder)
    assert names(made, parts[0].folder) == names(of_jobs(whole.folder), whole.folder)
    gathered = run(**given, out="parts")
    assert of_jobs(gathered.folder) == made
    assert as_made(gathered.folder) == as_made(whole.folder)


def test_a_part_that_deletes_and_one_of_another_form_are_refused_before_anything(small):
    for shard, overwrite in (("1/2", True), ("3/2", False)):
        with pytest.raises(ht.ConfigError, match="shard="):
            ht.mil(small.mil, out="run", shard=shard, overwrite=overwrite)
    assert not (small.root / "run").exists()
