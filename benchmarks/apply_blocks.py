"""UCSB's blocks in turn as a new cohort: a training of its own on the other four, beside the leave-one-block-out run.

    hage encode slides configs/mil/ucsb.yaml --set data.root=DATA/ucsb_breast --set features=features/ucsb_bags
    python benchmarks/apply_blocks.py --features features/ucsb_bags --out runs/blocks

All by the recipe: draws are named by slide, and `train.validation` is 0, so that the two trainings are one arithmetic.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import roc_auc_score

import hage_transfer as ht

POSITIVE = "malignant"
STAND_IN = "copy_of_a_malignant_image"
"""Tested beside a block of one class, so that a run takes its fold; it trains nothing and is compared with nothing."""


def main() -> None:
    """Trains on all but one block, in turn and as folds, and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    out = given.out
    labels = pd.read_csv(given.features / "labels.csv", dtype=str)[["slide", "label"]]
    labels["group"] = labels["slide"].str.extract(r"(ytma\d+)")[0]
    blocks = sorted(labels["group"].unique())
    stand_in = pd.DataFrame({"slide": [STAND_IN], "label": [POSITIVE], "group": [STAND_IN]})
    link(given.features / "features", out / "bags", labels["slide"])
    copied = labels["slide"][labels["label"] == POSITIVE].iloc[0]
    link(given.features / "features", out / "bags", pd.Series([copied]), name=STAND_IN)
    for number, block in enumerate(blocks):
        sides = {"train": labels["slide"][labels["group"] != block], "test": labels["slide"][labels["group"] == block]}
        if labels["label"][labels["group"] == block].nunique() < 2:
            print(f"{block}: has one class, whose fold a run refuses; {STAND_IN} is tested with it")
            sides["test"] = pd.concat([sides["test"], stand_in["slide"]])
        write_split(out / "splits" / f"splits_{number}.csv", sides)
    changes: dict[str, Any] = {"train.repeats": given.repeats}
    folds = {"split": {"mode": "files", "files": out / "splits"}}
    whole = train(out / "bags", pd.concat([labels, stand_in]), out / "left_out", changes | folds)
    frozen = pd.read_csv(whole.folder / "predictions.csv", dtype={"fold": str})
    largest, other_seed = 0.0, []
    for number, block in enumerate(blocks):
        rest, new = labels[labels["group"] != block], labels[labels["group"] == block]
        link(given.features / "features", out / block / "new", new["slide"])
        inner = {"split": {"folds": 2, "by_group": False}, "train.final": True}
        run = train(given.features / "features", rest, out / block / "run", changes | inner)
        scores = ht.apply(run, out / block / "new", final=True, labels=new, out=out / block / "applied").frame()
        applied = scores.set_index("slide")[f"probability_{POSITIVE}"]
        of_fold = frozen[frozen["fold"] == str(number)]
        trials = of_fold.pivot_table(index="slide", columns="trial", values=f"probability_{POSITIVE}").reindex(
            applied.index
        )
        apart = float((applied - trials.mean(axis=1)).abs().max())
        other_seed.append(float((trials[0] - trials[1]).abs().max()))
        largest = max(largest, apart)
        aucs = " and ".join(
            auc(new.set_index("slide")["label"].loc[one.index], one) for one in (trials.mean(axis=1), applied)
        )
        print(
            f"{block}: {len(new)} new of {len(labels)}, largest difference {apart:.1e}; AUC left out and applied {aucs}"
        )
    print(f"largest difference of a probability over the {len(blocks)} blocks: {largest:.1e}; between two seeds of a "
          f"left-out block: {max(other_seed):.1e}")  # fmt: skip


def train(features: Path, labels: pd.DataFrame, out: Path, changes: dict[str, Any]) -> Any:
    """UCSB's recipe on feature files."""
    settings = yaml.safe_load(ht.read_recipe("mil/ucsb"))
    settings["data"] = {"layout": "features", "root": str(features)}
    settings["sources"] = {"frozen": {}}
    return ht.mil(settings, labels=labels, changes=changes, out=out)


def write_split(path: Path, sides: dict[str, pd.Series]) -> None:
    """A split file in CLAM's form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: pd.Series(sides.get(name, pd.Series(dtype=str)).to_numpy()) for name in ("train", "val", "test")}
    pd.DataFrame(columns).to_csv(path)


def link(features: Path, folder: Path, slides: pd.Series, *, name: str | None = None) -> None:
    """The feature files of some slides, in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for slide in slides:
        place = folder / f"{name or slide}.h5"
        if not place.exists():
            place.symlink_to((features / f"{slide}.h5").resolve())


def auc(labels: pd.Series, scores: pd.Series) -> str:
    """AUC, or why there is none."""
    if labels.nunique() < 2:
        return f"not defined (all are {labels.iloc[0]})"
    return f"{roc_auc_score(np.asarray(labels == POSITIVE), scores):.4f}"


if __name__ == "__main__":
    main()
