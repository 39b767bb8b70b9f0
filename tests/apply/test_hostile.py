"""What people do to `apply` that they should not, or cannot help: it says so early, and loses nothing."""

import numpy as np
import pandas as pd
import pytest

import hage_transfer as ht
from hage_transfer.apply.cohort import StainSpace, amount_and_hue
from hage_transfer.apply.validation import subgroups_of
from hage_transfer.errors import ConfigError, DataError

NEW = [f"n{number}" for number in range(16)]


@pytest.fixture(scope="module")
def new(write_bags, tmp_path_factory):
    return write_bags(tmp_path_factory.mktemp("new") / "bags", NEW, seed=1)


@pytest.fixture
def table(bag_labels):
    labels = bag_labels(NEW)
    return labels.assign(group="x" + labels["group"])


def everything(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("run/classifier/frozen", "holds the classifier"),
        ("run/classifier/frozen/scores", "lies in the classifier directory"),
        ("run/classifier", "holds the classifier"),
        ("run", "holds the classifier"),
        ("new", "holds what is to be scored"),
        (".", "holds the classifier"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_out_that_holds_what_is_needed_is_refused_and_all_of_it_stays(
    made, write_bags, tmp_path, place, message, overwrite
):
    folder = made.moved(tmp_path / "run/classifier/frozen")
    given = write_bags(tmp_path / "new", NEW[:2], seed=1)
    before = everything(tmp_path)
    with pytest.raises(ConfigError, match=message):
        ht.apply(folder, given, out=tmp_path / place, overwrite=overwrite, licence_allows=True)
    with pytest.raises(ConfigError, match=message):
        ht.look(folder, given, out=tmp_path / place, overwrite=overwrite)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"label": ["weird", *["normal"] * 15]}, {}, r"label weird is none of .*write labels as these are"),
        ({"label": [name.upper() for name in ["normal", "tumour"] * 8]}, {}, "label NORMAL, TUMOUR is none of"),
        ({}, {"subgroups": ["scanner"]}, "subgroups=scanner: the label table has no such column; it has none"),
        ({"site": "a"}, {"subgroups": ["label"]}, "no such column; it has site"),
    ],
)
def test_labels_and_columns_that_cannot_validate_are_refused_before_anything_is_scored(
    made, new, table, tmp_path, change, options, message
):
    with pytest.raises((ConfigError, DataError), match=message):
        ht.apply(made.run, new, labels=table.assign(**change), out=tmp_path / "out", **options)
    assert not list((tmp_path / "out").rglob("units/*"))


@pytest.mark.parametrize(("only", "absent"), [("tumour", "normal"), ("normal", "tumour")])
def test_a_cohort_of_one_class_says_what_has_no_value(made, new, table, tmp_path, only, absent):
    ht.apply(made.run, new, labels=table.assign(label=only), out=tmp_path / "out")
    found = ht.read_results(tmp_path / "out")
    values = {row["metric"]: row["value"] for row in found.meta["intervals"]}
    assert values["auc"] is None
    assert values["accuracy"] is not None
    assert any(f"none of these is {absent}: what speaks of it" in one for one in found.meta["warnings"])
    assert "nan" not in (tmp_path / "out/report.md").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("abstain", [1, 1.5, -0.1, float("nan"), "half"])
def test_a_share_that_cannot_be_abstained_is_refused(made, new, tmp_path, abstain):
    with pytest.raises(ConfigError, match="a share of 0 to below 1"):
        ht.apply(made.run, new, abstain=abstain, out=tmp_path / "out")


@pytest.mark.parametrize(
    "point", [0.9, "cost=0", "cost=-1", "cost=nan", "sensitivity=1.2", "sensitivity=", "vanity", ""]
)
def test_an_operating_point_that_is_none_is_refused(made, new, tmp_path, point):
    with pytest.raises(ConfigError):
        ht.apply(made.run, new, operating_point=point, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["a"] * 4, {"a": 4}),
        ([""] * 4, {"not given": 4}),
        (["b", "", " a ", "a"], {"a": 2, "b": 1, "not given": 1}),
        ([str(k) for k in range(12)], {"0 to 2": 3, "3 to 5": 3, "6 to 8": 3, "9 to 11": 3}),
        ([*map(str, range(12)), ""], {"0 to 2": 3, "3 to 5": 3, "6 to 8": 3, "9 to 11": 3, "not given": 1}),
    ],
)
def test_subgroups_are_named_with_their_sizes_and_those_without_a_value_are_one(values, wanted):
    found = subgroups_of(pd.DataFrame({"site": values}), "site")
    assert {name: int(rows.sum()) for name, rows in found} == wanted


@pytest.mark.parametrize("odd", ["inf", "nan", "unknown"])
def test_many_values_of_which_some_are_no_numbers_are_refused_by_name(odd):
    table = pd.DataFrame({"age": [*map(str, range(12)), odd]})
    with pytest.raises(ConfigError, match=rf"subgroups=age: 13 values, of which {odd} are no numbers"):
        subgroups_of(table, "age")


def test_more_of_the_same_dye_moves_amount_and_leaves_hue():
    rows = np.random.default_rng(0).uniform(0.1, 0.8, (5, 6))
    thin, thick = amount_and_hue(rows), amount_and_hue(1.5 * rows)
    np.testing.assert_allclose(thick[:, :2] - thin[:, :2], np.log(1.5))
    np.testing.assert_allclose(thick[:, 2:], thin[:, 2:], atol=1e-12)
    reddened = amount_and_hue(rows * np.tile([1.5, 1.0, 1.0], 2))
    np.testing.assert_allclose((reddened - thin)[:, 2:4], np.log(1.5))


def test_a_stain_of_another_hue_lies_farther_than_thick_or_thin_slides_and_survives_a_file():
    """Slides differ in amount by a third: a shift of hue by as little as a tenth stands out all the same."""
    rng = np.random.default_rng(1)
    stain = np.array([0.5, 0.7, 0.4, 0.2, 0.25, 0.15])

    def slides(n, hue=(1.0, 1.0, 1.0)):
        return stain * np.exp(0.3 * rng.normal(size=(n, 1)) + 0.02 * rng.normal(size=(n, 6))) * np.tile(hue, 2)

    space = StainSpace.of(StainSpace.fit(slides(20)).tensors())
    alike = [space(row[None]) for row in slides(20)]
    other = [space(row[None]) for row in slides(20, hue=(1.15, 0.95, 1.05))]
    assert min(other) > max(alike)


def test_the_stain_of_a_directory_of_an_earlier_version_is_measured_as_it_was():
    rows = np.random.default_rng(0).uniform(0.1, 0.8, (9, 6))
    old = StainSpace.of({"mean": rows.mean(0), "precision": np.eye(6)})
    assert old(rows[:1]) == pytest.approx(float(np.sqrt(((rows[0] - rows.mean(0)) ** 2).mean())))
