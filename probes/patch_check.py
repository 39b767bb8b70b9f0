"""A labelled patch set looked at before work starts: classes, groups, folds, identical and unreadable images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.data.image_hashes import PixelCheck, check_pixels
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.patch_set import PatchSet
from hage_transfer.data.patches import read_patch_set
from hage_transfer.errors import ItemsFailedError
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.folds import probe_folds
from hage_transfer.probes.plan import probe_labels
from hage_transfer.running.atomic import write_csv
from hage_transfer.running.failures import FAILURES_FILE, write_failures
from hage_transfer.running.progress import Progress

DUPLICATES_FILE = "duplicates.csv"


@dataclass(frozen=True)
class PatchCheck:
    """What a patch set holds.

    Attributes:
        labels: of its patches, as the config maps them.
        split: how it is split.
        test_sizes: patches of each fold's test side.
        pixels: what reading every pixel showed; None where they were not read.
        duplicates: rows of ``duplicates.csv``: a patch each, with the number of its set of identical ones.
    """

    labels: LabelTable
    split: str
    test_sizes: tuple[int, ...]
    pixels: PixelCheck | None
    duplicates: tuple[dict[str, Any], ...] = ()

    def table(self) -> pd.DataFrame:
        """Patches, their share, and groups of each class; groups are empty where there are none."""
        rows = {}
        for name in self.labels.classes:
            own = self.labels.labels == name
            groups = None if self.labels.groups is None else len(set(self.labels.groups[own].tolist()))
            rows[name] = {"patches": int(own.sum()), "share": float(own.mean()), "groups": groups}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")

    def group_sizes(self) -> pd.Series | None:
        """Patches of each group, the largest first; None where there are no groups."""
        return None if self.labels.groups is None else pd.Series(self.labels.groups).value_counts()

    def frame(self) -> pd.DataFrame:
        """Identical patches, a row each."""
        columns = ["set", "key", "label", "group", "across_groups", "across_labels"]
        return pd.DataFrame(list(self.duplicates), columns=columns)

    def _repr_html_(self) -> str:
        return self.table().to_html(float_format="{:.3f}".format) + self.frame().to_html(max_rows=20)


def check_patch_set(
    config: ProbeConfig, *, out: Path, n_threads: int, pixels: bool, progress: Progress | None = None
) -> PatchCheck:
    """Counts, tries the folds, and reads every pixel; writes what is wrong to ``out``.

    Raises:
        InputError: the set, its labels or its folds are wrong.
        ItemsFailedError: unreadable images, or identical ones on what may become two sides of a split.
    """
    patches = read_patch_set(config.data, labels_needed=config.target.kind == "classes")
    labels, _ = probe_labels(config, LabelTable(keys=patches.keys, labels=patches.labels, groups=patches.groups))
    sizes = tuple(len(fold.test) for fold in probe_folds(config.split, labels))  # before the pixels
    if not pixels:
        return PatchCheck(labels, config.split.mode, sizes, None)
    checked = check_pixels(patches, n_threads=n_threads, progress=progress)
    rows = tuple(_duplicate_rows(checked, patches))
    if rows:
        write_csv(out / DUPLICATES_FILE, list(rows[0]), rows)
    else:
        (out / DUPLICATES_FILE).unlink(missing_ok=True)
    write_failures(out, checked.unreadable)
    found = PatchCheck(labels, config.split.mode, sizes, checked, rows)
    faults = _faults(checked, patches, out)
    if faults:
        raise ItemsFailedError("; ".join(faults), done=found)
    return found


def _faults(checked: PixelCheck, patches: PatchSet, out: Path) -> list[str]:
    faults = [f"{len(checked.unreadable)} images cannot be read ({out / FAILURES_FILE})"] if checked.unreadable else []
    wrong = [one for one in checked.duplicates if one.across_groups or one.across_labels]
    if wrong:
        names = ", ".join(_named(patches, row) for row in wrong[0].rows[:3])
        faults.append(
            f"identical patches, such as {names}, would be on both sides of a split ({out / DUPLICATES_FILE})"
        )
    return faults


def _duplicate_rows(checked: PixelCheck, patches: PatchSet) -> list[dict[str, Any]]:
    return [
        {
            "set": number,
            "key": patches.keys[row],
            "label": patches.labels[row],
            "group": "" if patches.groups is None else patches.groups[row],
            "across_groups": one.across_groups,
            "across_labels": one.across_labels,
        }
        for number, one in enumerate(checked.duplicates)
        for row in one.rows
    ]


def _named(patches: PatchSet, row: int) -> str:
    group = "" if patches.groups is None else f" of group {patches.groups[row]}"
    return f"{patches.keys[row]}{group} ({patches.labels[row]})"
