"""A classifier of 20 demo slides on 10 new ones, half of them stained otherwise: accuracy, doubt, equality of inputs.

    hage demo --out runs/demo
    python benchmarks/apply_new_slides.py --out runs/apply-bench [--encoders 'runs/demo/pretrain/encoders/*/trial_*']

Twenty slides teach the frozen features' classifier nothing; with ``--encoders`` the source is gene-informed.

Prints, over sets of slides: AUC held out and on the new slides that are stained alike, with their difference, and AUC
of doubt for the shifted stain; of the first set: the largest difference of scores from slides, from their features and
from TRIDENT's form of them, and whether `scores.csv` is the same to the byte after so many kills.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy.stats import t
from sklearn.metrics import roc_auc_score

import hage_transfer as ht
from hage_transfer.demo.slides import ACTIVATION, write_pyramid, write_slides

SHIFT = (1.35, 0.80, 1.25)
"""Factors of the optical density in red, green and blue: another stain and scanner."""


def main() -> None:
    """Trains, applies, compares, kills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=1792)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--encoders", help="pattern of encoder directories; without it the features are frozen ones")
    parser.add_argument("--activation", type=float, nargs=2, default=ACTIVATION["activated"],
                        help="share of the tumour with the programme on, in the slides labelled so")  # fmt: skip
    given = parser.parse_args()
    ACTIVATION["activated"] = tuple(given.activation)
    rows = []
    for seed in range(given.seeds):
        out = given.out / f"seed_{seed}"
        directory, frame, row = train_and_apply(out, side_px=given.side, seed=seed, encoders=given.encoders)
        rows.append(row)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
        if seed == 0:
            same_scores(directory, out, frame)
            if given.kills:
                kill_and_resume(directory, out, given.kills)
    table = pd.DataFrame(rows)
    print(table.mean().round(3).to_string())
    less = table["stained alike"] - table["held out"]
    margin = t.ppf(0.975, max(len(less) - 1, 1)) * less.std() / len(less) ** 0.5
    print(f"new slides stained alike less held out: {less.mean():+.3f} ± {margin:.3f} (95%, over {len(less)} sets)")


def train_and_apply(
    out: Path, *, side_px: int, seed: int, encoders: str | None
) -> tuple[Path, pd.DataFrame, dict[str, float]]:
    """Trains on 20 slides, moves the classifier away and scores the other 10 by it."""
    labels = make_slides(out / "slides", side_px=side_px, seed=seed)
    split_slides(out, labels, n_train=20)
    source = "frozen" if encoders is None else "hage"
    run = ht.mil(
        "demo/mil",
        root=out / "train",
        labels=labels.head(20),
        features=out / "features",
        sources={source: {} if encoders is None else {"encoder": encoders}},
        changes={"train.repeats": 3, "encoder.batch_size": 16},
        out=out / "mil",
    )
    directory = Path(shutil.copytree(run.folder / "classifier" / source, out / "moved", dirs_exist_ok=True))
    scores = ht.apply(directory, out / "new", out=out / "from_slides")
    frame = scores.frame().set_index("slide")
    shifted = frame.index.isin([f"slide_{number:03d}" for number in range(25, 30)])
    truth = labels.set_index("slide")["label"].reindex(frame.index) == "activated"
    row = {"held out": float(run.value(source=source, metric="auc", trial=None, fold="mean", split="test") or np.nan)}
    for name, chosen in (("stained alike", ~shifted), ("shifted", shifted)):
        row[name] = float(roc_auc_score(truth[chosen], frame["probability"][chosen]))
    for name in ("doubt", "tile_distance", "stain_distance", "spread"):
        row[f"{name} for the shift"] = float(roc_auc_score(shifted, frame[name]))
    row["doubtful of the shifted"] = frame["doubtful"][shifted].mean()
    row["doubtful of the others"] = frame["doubtful"][~shifted].mean()
    return directory, frame, row


def make_slides(root: Path, *, side_px: int, seed: int) -> pd.DataFrame:
    """30 slides of 15 patients; those of the last five slides are stained otherwise."""
    write_slides(root, seed=seed, n_slides=30, side_px=side_px)
    for number in range(25, 30):
        path, mark = root / f"slide_{number:03d}.tif", root / f"slide_{number:03d}.shifted"
        if not mark.exists():
            density = -np.log((tifffile.imread(path, key=0).astype(np.float64) + 1) / 256) * SHIFT
            write_pyramid(path, np.clip(256 * np.exp(-density) - 1, 0, 255).astype(np.uint8))
            mark.touch()
    return pd.read_csv(root / "labels.csv", dtype=str)


def split_slides(out: Path, labels: pd.DataFrame, *, n_train: int) -> None:
    """Links the first slides into ``train``, the others into ``new``."""
    for number, name in enumerate(labels["slide"]):
        place = out / ("train" if number < n_train else "new") / f"{name}.tif"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.hardlink_to(out / "slides" / f"{name}.tif")


def same_scores(directory: Path, out: Path, frame: pd.DataFrame) -> None:
    """Scores of the features that were made, and of TRIDENT's form of them."""
    features = out / "from_slides" / "input" / "features"
    ht.convert(features, to="trident", out=out / "trident", magnification=20, overlap_px=0)
    for name, place in (("our features", features), ("TRIDENT's form", out / "trident")):
        other = ht.apply(directory, place, out=out / f"from {name}").frame().set_index("slide")
        difference = np.abs(other["probability"] - frame["probability"]).max()
        print(f"largest difference of probability from slides and from {name}: {difference:.2g}")


def kill_and_resume(directory: Path, out: Path, kills: int) -> None:
    """Kills the command at a random moment, again and again, then lets it end."""
    target = out / "killed"
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-c", "from hage_transfer.cli.main import main; main()", "apply", str(directory)]
    command += [str(out / "new"), "--out", str(target)]
    generator, ended = np.random.default_rng(0), 0
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=float(generator.uniform(4, 25)))
            ended += 1
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        time.sleep(0.2)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    same = (target / "scores.csv").read_bytes() == (out / "from_slides" / "scores.csv").read_bytes()
    print(f"killed {kills - ended} of {kills} times and resumed: scores.csv byte-equal: {same}")


if __name__ == "__main__":
    main()
