"""When a gain may be called the genes', and what is said where it may not."""

import pytest

from hage_transfer.compare.controls import NO_CONTROLS, ascribe, ascribed, controls_of, with_roles
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results

FROZEN = [0.70, 0.72, 0.74, 0.71, 0.73]
NOISE = [0.004, -0.003, 0.002, -0.004, 0.001]


def results(gains: dict[str, float], kinds: dict[str, str] | None = None) -> Results:
    """Sources that gain so much over frozen in every fold, but for a little noise."""
    gains = {"frozen": 0.0, **gains}
    records = [
        Record(
            task="probe",
            source=source,
            split="test",
            fold=str(fold),
            trial=None,
            metric="auc",
            value=base + gain + noise * (k + 1),
        )
        for k, (source, gain) in enumerate(gains.items())
        for fold, (base, noise) in enumerate(zip(FROZEN, NOISE, strict=True))
    ]
    kinds = {name: name for name in gains if name not in ("frozen", "hage")} if kinds is None else kinds
    features = {name: [{"encoder": "x", "control": kinds.get(name, "")}] for name in gains}
    return Results(with_roles(records, kinds), {"features": features})


BOTH = {"untrained": 0.0, "shuffled": 0.01}


@pytest.mark.parametrize(
    ("gains", "genes", "said"),
    [
        ({}, False, NO_CONTROLS),
        ({"untrained": 0.0}, False, "the control shuffled was not run"),
        ({"pca": 0.0}, False, "the control untrained and shuffled was not run"),
        (BOTH, True, r"\+0.1.. over untrained .* so the genes explain it"),
        ({**BOTH, "untrained": 0.1}, False, r"the control untrained \(this less untrained: [+-]0.00., within noise\)"),
        ({**BOTH, "shuffled": 0.2}, False, r"the control shuffled \(this less shuffled: -0.1.., loss\)"),
        ({"untrained": 0.1}, False, "the control untrained"),
        ({**BOTH, "pca": 0.1}, False, "the control pca"),
        ({**BOTH, "frozen_standardised": 0.1, "pca": 0.1}, False, "the controls frozen_standardised .*, pca"),
        ({**BOTH, "pca": 0.02}, True, "so the genes explain it"),
        ({**BOTH, "expression": 0.1}, True, "though predicted expression alone may do as well"),
    ],
)
def test_genes_are_named_only_beside_both_controls(gains, genes, said):
    import re

    found = ascribed(results({"hage": 0.1, **gains}), "hage")
    assert found is not None
    assert found.genes is genes
    assert re.search(said, found.clause), found.clause
    assert ("the genes" in found.clause) is genes


@pytest.mark.parametrize("gain", [0.0, -0.1])
def test_nothing_is_ascribed_where_there_is_no_gain(gain):
    assert ascribed(results({"hage": gain, **BOTH}), "hage") is None


def test_controls_are_known_by_what_their_features_say_and_not_by_name():
    found = results({"hage": 0.1, "a": 0.0, "b": 0.0}, kinds={"a": "untrained", "b": "shuffled"})
    assert controls_of(found) == {"a": "untrained", "b": "shuffled"}
    assert ascribed(found, "hage").genes
    named_alike = results({"hage": 0.1, "untrained": 0.0, "shuffled": 0.0}, kinds={})
    assert ascribed(named_alike, "hage").clause == NO_CONTROLS


def test_a_comparison_without_known_spread_proves_nothing():
    kinds = {"untrained": "untrained", "shuffled": "shuffled"}
    found = ascribe("hage", "frozen", kinds, lambda one, other: (0.1, "not judged"))
    assert not found.genes


def test_records_carry_their_role_and_keep_it_on_disk(tmp_path):
    found = results({"hage": 0.1, **BOTH})
    found.save(tmp_path / "results.json")
    again = Results.load(tmp_path / "results.json")
    assert {r.source for r in again.records if r.role == "control"} == {"untrained", "shuffled"}
    assert again.frame().groupby("source")["role"].first()["untrained"] == "control"
