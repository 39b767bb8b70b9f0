"""How long the paper's setting trains: real counts of all 32 HER2+ sections, features of UNI's width that are made up.

    OMP_NUM_THREADS=1 python benchmarks/paper_setting.py data/her2st/data --panel her_hvg_cut_1000.txt

Times alone: features are noise (27 of the 32 images are not at hand), so every score is worthless. One fold of the recipe
`her2st` is run with one trial and with two; printed is the difference, and what all folds and trials come to.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import hage_transfer as ht
from hage_transfer.config import SectionsSettings
from hage_transfer.data.feature_file import FeatureMeta, write_features
from hage_transfer.data.sections import her2st

UNI_WIDTH, TRIALS = 1024, 5


def main() -> None:
    """Trains one trial of one fold, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of ST-cnts and ST-spotfiles")
    parser.add_argument("--panel", type=Path, required=True, help="a gene a line")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        spots = make_sections(options.root.resolve(), root)
        changes = {"trials": 1, "genes": {"panel": options.panel.resolve()}, "split": {"held_out": ["B"]}}
        data = {"root": root / "data", "features": root / "features", "changes": changes, "device": options.device}
        one, two = (measured(data, root / name, trials) for name, trials in (("one", 1), ("two", 2)))
    trial = two - one
    patients, sections = len({name[0] for name in spots}), len(spots)
    print(f"{sections} sections, {sum(spots.values())} spots, {UNI_WIDTH} features; patient B left out")
    print(f"a trial {trial / 60:.1f} min of processor time; reading, genes, ridges {(one - trial) / 60:.1f} min")
    for unit, folds in (("patients", patients), ("sections", sections)):
        print(f"{folds} {unit} x {TRIALS} trials: {folds * TRIALS * trial / 3600:.1f} h of processor time")


def measured(data: dict, out: Path, trials: int) -> float:
    """Seconds of processor time of a run with so many trials."""
    start = time.process_time()
    ht.pretrain("her2st", **{**data, "changes": {**data["changes"], "trials": trials}}, out=out, controls=False)
    return time.process_time() - start


def make_sections(source: Path, root: Path) -> dict[str, int]:
    """Links the counts, and makes a feature file and a blank image for every section; spots of each."""
    (root / "data").mkdir()
    for name in ("ST-cnts", "ST-spotfiles"):
        (root / "data" / name).symlink_to(source / name)
    settings, rng, spots = SectionsSettings(root=source), np.random.default_rng(0), {}
    paths = her2st.find(settings)
    for name in her2st.default(sorted(paths)):
        keys = her2st.read(settings, name, paths[name]).spots
        image = root / "data" / "ST-imgs" / name[0] / name / "blank.jpg"
        image.parent.mkdir(parents=True)
        Image.new("1", (12_000, 12_000)).convert("L").save(image)
        rows = rng.normal(size=(len(keys), UNI_WIDTH)).astype(np.float32)
        write_features(root / "features" / f"{name}.h5", rows, made_up(name), keys=list(keys))
        spots[name] = len(keys)
    return spots


def made_up(name: str) -> FeatureMeta:
    """What a feature file must say of itself."""
    return FeatureMeta(
        source=name, encoder="noise", encoder_sha256="0" * 64, encoder_licence="CC0-1.0", patch_size_px=224,
        patch_size_level0_px=224, mpp_um_per_px=None, precision="float32", config_sha256=name,
    )  # fmt: skip


if __name__ == "__main__":
    main()
