"""The robustness index: by hand, on planted features, and of runs and folders."""

import numpy as np
import pandas as pd
import pytest
from feature_meta import feature_meta

import hage_transfer as ht
from hage_transfer.cli.main import run as hage
from hage_transfer.compare.robustness import Counts, Units, best_k, ends, index_draws, nearest
from hage_transfer.data.feature_file import write_features
from hage_transfer.errors import DataError


def planted(seed: int, *, of_class: float, of_centre: float, n: int = 160) -> tuple[np.ndarray, Units]:
    """Features that class and centre move, two units of each patient."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n // 2), 2)
    classes, centres = patients % 2, patients // 2 % 4
    rows = generator.normal(size=(n, 12))
    rows[:, 0] += of_class * classes
    rows[np.arange(n), 1 + centres] += of_centre
    return rows, Units(classes, centres, patients)


def by_hand(rows: np.ndarray, units: Units, k: int) -> tuple[int, int]:
    so = os_ = 0
    for one in range(len(rows)):
        others = [other for other in range(len(rows)) if units.groups[other] != units.groups[one]]
        cosine = [rows[one] @ rows[other] / np.linalg.norm(rows[one]) / np.linalg.norm(rows[other]) for other in others]
        for place in sorted(range(len(others)), key=lambda place: -cosine[place])[:k]:
            other = others[place]
            same_class, same_centre = (
                units.classes[one] == units.classes[other],
                units.centres[one] == units.centres[other],
            )
            so += same_class and not same_centre
            os_ += same_centre and not same_class
    return int(so), int(os_)


@pytest.mark.parametrize(("seed", "k"), [(0, 1), (1, 7), (2, 33)])
def test_the_index_is_that_of_its_definition(seed, k):
    rows, units = planted(seed, of_class=1, of_centre=1, n=80)
    so, os_ = by_hand(rows, units, k)
    found = Counts.of([nearest(rows, units, k=k)], units, k=k)
    assert (found.so.sum(), found.os.sum()) == (so, os_)
    assert found.index == so / (so + os_)


@pytest.mark.parametrize(
    ("of_class", "of_centre", "low", "high"), [(8, 0, 0.95, 1), (0, 8, 0, 0.03), (0, 0, 0.68, 0.82)]
)
def test_what_moves_the_features_decides_the_index(of_class, of_centre, low, high):
    rows, units = planted(3, of_class=of_class, of_centre=of_centre)
    counts = Counts.of([nearest(rows, units, k=11)], units, k=11)
    assert low <= counts.index <= high
    interval = ends(index_draws(counts, units), units)
    assert interval[0] <= counts.index <= interval[1]
    assert units.chance() == pytest.approx(0.75, abs=0.01)  # three of four centres are others, one of two classes
    assert (counts.ratio > 3) == (of_class > 0)


def test_k_is_where_the_class_is_predicted_best():
    rows, units = planted(4, of_class=0.9, of_centre=0, n=80)
    near = nearest(rows, units, k=units.most_k)
    votes = [np.mean((units.classes[near[:, :k]].mean(axis=1) > 0.5) == units.classes) for k in (1, 3, 5, 7, 9, 11, 21)]
    assert (1, 3, 5, 7, 9, 11, 21)[int(np.argmax(votes))] == best_k([near[:, :30]], units)
    assert best_k([near[:, :30]] * 3, units) == best_k([near[:, :30]], units)


@pytest.mark.parametrize("fault", ["one class", "one centre", "class is centre"])
def test_what_cannot_be_told_apart_is_refused(fault):
    classes, centres = np.arange(12) % 2, np.arange(12) // 2 % 3
    if fault == "one class":
        classes = np.zeros(12, int)
    if fault == "one centre":
        centres = np.zeros(12, int)
    units = Units(classes, classes if fault == "class is centre" else centres, np.arange(12))
    with pytest.raises(DataError, match=r"one class|one centre|told apart"):
        units.check()


@pytest.fixture
def folders(tmp_path):
    """Bags that class moves, and bags that the centre moves."""
    generator = np.random.default_rng(0)
    names = [f"s{number}" for number in range(24)]
    table = pd.DataFrame({"slide": names, "label": ["a", "b"] * 12, "group": [f"p{n // 2}" for n in range(24)]})
    table["label"] = [("a", "b")[n // 2 % 2] for n in range(24)]
    table["hospital"] = [f"h{n // 4 % 3}" for n in range(24)]
    for kind, column in (("biology", "label"), ("batch", "hospital")):
        places = np.unique(table[column], return_inverse=True)[1]
        for name, place in zip(names, places, strict=True):
            rows = generator.normal(size=(9, 6)).astype(np.float32)
            rows[:, place] += 5
            coords = np.stack([np.arange(9) * 224, np.zeros(9, int)], axis=1)
            write_features(tmp_path / kind / f"{name}.h5", rows, feature_meta(name), coords=coords)
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


@pytest.mark.usefixtures("sketched")
def test_a_run_and_folders_say_the_same_by_their_column(folders, capsys):
    config = {
        "data": {"layout": "features", "root": folders / "biology", "labels": folders / "labels.csv"},
        "split": {"folds": 2},
        "sources": {"frozen": {}, "batch": {"features": folders / "batch"}},
        "model": {"kind": "mean", "hidden_dim": 0},
        "train": {"epochs": 1, "validation": 0},
    }
    run = ht.mil(config, out=folders / "run")
    found = ht.robustness(run, by="hospital")
    index = found.frame().set_index("source")["index"]
    assert index["frozen"] > 0.95
    assert index["batch"] < 0.1
    row = found.frame().iloc[1]
    assert row["difference_low"] <= row["difference"] <= row["difference_high"] < -0.8
    assert (folders / "run" / "robustness.csv").is_file()
    assert "by chance" in repr(found)
    both = [f"frozen={folders / 'biology'}", f"batch={folders / 'batch'}", "--labels", str(folders / "labels.csv")]
    out = folders / "table.csv"
    assert hage(["robustness", *both, "--by", "hospital", "--out", str(out)]) == 0
    assert pd.read_csv(out)["index"].tolist() == pytest.approx(index.tolist())
    assert "less the first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "hospitl"}, "no such column; nearest: hospital"),
        ({"by": "label"}, "same class in another centre"),
        ({"by": "hospital", "k": 99}, "wanted 1 to 22"),
        ({"by": "gap"}, "1 of 24 have no gap .first: s3."),
        ({"by": "hospital", "labels": None}, "labels= is needed"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(folders, options, message):
    table = pd.read_csv(folders / "labels.csv")
    table["gap"] = ["" if n == 3 else "x" for n in range(24)]
    table.to_csv(folders / "labels.csv", index=False)
    given = {"labels": folders / "labels.csv", "out": folders / "table.csv"} | options
    with pytest.raises(ht.InputError, match=message):
        ht.robustness({"biology": folders / "biology"}, **given)
