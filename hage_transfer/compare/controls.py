"""What a gain may be ascribed to: a source beside encoders that no gene taught, by the test of every verdict."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results

CONTROL = "control"
NEEDED = ("untrained", "shuffled")
"""A gain may be called the genes' only where it stands beside both."""
WITHOUT_GENES = (*NEEDED, "frozen_standardised", "pca")
NO_CONTROLS = "no controls were run: the gain cannot be ascribed to genes"
Judge = Callable[[str, str], tuple[float, str] | None]
"""Mean difference and verdict of one source less another; None where they cannot be compared."""


@dataclass(frozen=True)
class Ascription:
    """What a gain is owed to.

    Attributes:
        genes: whether it may be called the genes'.
        clause: why, or what else explains it; goes on from a sentence that states the gain.
    """

    genes: bool
    clause: str


def controls_in(features: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Sources whose features come from a control, and which.

    Args:
        features: what each source's files say of themselves (``FeatureMeta``), as in the meta of results.
    """
    return {
        source: str(files[0]["control"])
        for source, files in features.items()
        if files and all(one.get("control") for one in files)
    }


def controls_of(results: Results) -> dict[str, str]:
    """``controls_in`` of a run's results."""
    return controls_in(results.meta.get("features") or {})


def with_roles(records: Sequence[Record], controls: Collection[str]) -> list[Record]:
    """Records that say which of their sources are controls."""
    return [replace(record, role=CONTROL) if record.source in controls else record for record in records]


def ascribed(results: Results, source: str, metric: str = "auc") -> Ascription | None:
    """What a source's gain over the baseline of its run is owed to; None where there is no gain."""

    def judge(one: str, other: str) -> tuple[float, str] | None:
        found = results.difference(one, other, metric)
        return None if found is None else (found.mean, found.verdict)

    gain = judge(source, results.baseline)
    if gain is None or gain[1] != "gain":
        return None
    by_kind = {kind: name for name, kind in controls_of(results).items()}
    return ascribe(source, results.baseline, by_kind, judge)


def ascribe(source: str, baseline: str, controls: Mapping[str, str], judge: Judge) -> Ascription:
    """What a gain is owed to.

    Both needed controls must be there, and the source must be judged better than each; where whitening or
    standardising gains too and the source is not judged better, that explains it as well.

    Args:
        source: whose gain over the baseline is judged to be one.
        baseline: of the gain.
        controls: names of the sources that are controls, by which they are.
        judge: compares two sources.
    """
    beside = {kind: found for kind, name in controls.items() if (found := judge(source, name)) is not None}
    missing = [kind for kind in NEEDED if kind not in beside]
    reaching = [kind for kind in WITHOUT_GENES if kind in beside and _reaches(kind, beside, baseline, controls, judge)]
    if reaching:
        named = ", ".join(f"{kind} (this less {kind}: {beside[kind][0]:+.3f}, {beside[kind][1]})" for kind in reaching)
        what = "the control" if len(reaching) == 1 else "the controls"
        return Ascription(False, f"but {what} {named} may explain it without a gene, so it is not ascribed to genes")
    if not beside:
        return Ascription(False, NO_CONTROLS)
    if missing:
        return Ascription(False, f"the control {' and '.join(missing)} was not run: it cannot be ascribed to genes")
    over = " and ".join(f"{beside[kind][0]:+.3f} over {kind}" for kind in NEEDED)
    clause = (
        f"it stands beside the controls ({over}, each more than the folds' spread explains), so the genes explain it"
    )
    if "expression" in beside and beside["expression"][1] != "gain":
        clause += ", though predicted expression alone may do as well"
    return Ascription(True, clause)


def _reaches(
    kind: str, beside: Mapping[str, tuple[float, str]], baseline: str, controls: Mapping[str, str], judge: Judge
) -> bool:
    """Whether a source is not judged better than a control; one that is not needed must gain itself to count."""
    if beside[kind][1] == "gain":
        return False
    if kind in NEEDED:
        return True
    own = judge(controls[kind], baseline)
    return own is not None and own[1] == "gain"
