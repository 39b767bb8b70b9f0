"""Does the report's sentence say "the genes" where genes help, and only there? Planted data whose truth is known.

The demo's generator makes tissue maps, counts of genes in spots, and labels of patches. Frozen features are drawn from
the same maps instead of painted and encoded (a section takes seconds to paint): nuisances and what fills the tissue are
their widest directions, and the programme that labels hang on moves them along one narrow direction, which few labels
find badly among the others. Where expression follows the programme (``planted``) it can be learned from the spots; in
the other half of the sets (``shuffled``) the programme's genes are shuffled over the spots of each section, and say
nothing of any image. Everything after the features is the product's own: ``pretrain`` with all controls, ``probe`` with
all controls, and the sentence of the report.

    python benchmarks/planted.py --seeds 20 --out runs/planted
"""

import argparse
import csv
import gzip
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

import hage_transfer as ht
from hage_transfer.data.feature_file import FeatureMeta, write_features
from hage_transfer.data.synthetic import mark_synthetic
from hage_transfer.demo.counts import draw_counts, draw_patient_shift
from hage_transfer.demo.programs import PROGRAMS, SYMBOLS
from hage_transfer.demo.sections import patient_traits
from hage_transfer.demo.tissue import TissueMap, disc_means, make_tissue
from hage_transfer.door.calibration_data import made_meta
from hage_transfer.report.answer import Answer, answer_of
from hage_transfer.report.runs import read_run

KINDS = ("planted", "shuffled")
PATIENTS, SECTIONS, SECTION_PX, SPACING_PX = "BCD", 4, 2400, 140
SLIDES, SLIDE_PX, PATCH_PX, PATCHES = 24, 1152, 192, 14
WIDTH, NUISANCES = 96, 48
COMPARTMENTS = ("tumour", "stroma", "lymphoid", "fat")
GENE_PANEL = [*PROGRAMS["activated"], *PROGRAMS["tumour"][:10], *PROGRAMS["stroma"][:10]]


@dataclass(frozen=True)
class Eye:
    """A frozen encoder that sees everything, the programme in a narrow direction alone.

    Attributes:
        rotation: of all directions into the columns of the features.
    """

    rotation: Float[np.ndarray, "width width"]

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Eye":
        """Rotated at random."""
        return cls(np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0])

    def features(
        self, rng: np.random.Generator, shares: Float[np.ndarray, "place share"], programme: Float[np.ndarray, " place"]
    ) -> Float[np.ndarray, "place width"]:
        """Of places whose tissue is known; ``programme`` is the share of their tumour where it is on."""
        seen = rng.normal(size=(len(shares), WIDTH))
        seen[:, :NUISANCES] *= 4.0
        seen[:, : shares.shape[1]] += 6.0 * shares
        seen[:, -1] = 0.5 * seen[:, -1] + 4.2 * (programme - 0.5)
        return (seen @ self.rotation).astype(np.float32)


def write_sections(root: Path, features: Path, eye: Eye, *, seed: int, kind: str) -> None:
    """ST sections in the her2st layout with a feature file each; the counts are the demo's."""
    for letter in PATIENTS:
        patient = np.random.default_rng([seed, 1, ord(letter)])
        traits, shift = patient_traits(patient), draw_patient_shift(patient)
        for number in range(1, SECTIONS + 1):
            rng = np.random.default_rng([seed, 2, ord(letter), number])
            tissue = make_tissue(rng, (SECTION_PX, SECTION_PX), traits)
            array, centres = _spots(tissue)
            counts = draw_counts(rng, tissue, centres, patient_shift=shift)
            if kind == "shuffled":
                columns = [SYMBOLS.index(gene) for gene in PROGRAMS["activated"]]
                counts[:, columns] = counts[rng.permutation(len(counts))][:, columns]
            shares, programme = _seen(tissue, centres, diameter_px=112)
            _write_section(root, f"{letter}{number}", array, centres, counts)
            rows = eye.features(rng, shares, programme)
            keys = [f"{x}x{y}" for x, y in array]
            write_features(features / f"{letter}{number}.h5", rows, _meta(f"{letter}{number}"), keys=keys)
    mark_synthetic(root)


def write_patches(folder: Path, eye: Eye, *, seed: int) -> None:
    """Labelled patches: is the programme on in most of the tumour? Half of a slide's patches are of each label."""
    rows, labels = [], []
    for slide in range(SLIDES):
        rng = np.random.default_rng([seed, 3, slide])
        tissue = make_tissue(rng, (SLIDE_PX, SLIDE_PX), patient_traits(rng), fills=True)
        side = np.arange(PATCH_PX // 2, SLIDE_PX, PATCH_PX // 2)
        centres = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2).astype(float)
        shares, programme = _seen(tissue, centres, diameter_px=PATCH_PX)
        usable = np.flatnonzero(shares[:, 0] > 0.3)
        chosen = usable[rng.permutation(len(usable))[:PATCHES]]
        rows.append(eye.features(rng, shares[chosen], programme[chosen]))
        labels += [(f"s{slide}_{k}", int(programme[k] > 0.5), f"slide_{slide}") for k in chosen]
    write_features(folder / "features.h5", np.concatenate(rows), _meta("patches"), keys=[key for key, _, _ in labels])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("key", "label", "group"), *labels])


def run_seed(out: Path, *, seed: int, kind: str) -> Answer:
    """Data, pretraining, probe and sentence of one seed; the folder can go afterwards."""
    eye = Eye.of(np.random.default_rng([seed, 0]))
    for name in ("st", "patches"):
        (out / "features" / name).mkdir(parents=True, exist_ok=True)
    write_sections(out / "sections", out / "features/st", eye, seed=seed, kind=kind)
    write_patches(out / "features/patches", eye, seed=seed)
    (out / "panel.txt").write_text("\n".join(GENE_PANEL), encoding="utf-8")
    vectors = np.random.default_rng([seed, 4]).normal(size=(len(GENE_PANEL), 16))
    lines = [
        "\t".join([gene, " ".join(f"{v:.4f}" for v in row)]) for gene, row in zip(GENE_PANEL, vectors, strict=True)
    ]
    (out / "genes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    genes = ht.pretrain(
        {
            "data": {"root": out / "sections", "layout": "her2st"},
            "features": out / "features/st",
            "genes": {"panel": out / "panel.txt", "embeddings": out / "genes.txt"},
            "model": {"embed_dim": NUISANCES, "n_heads": 4},
            "clusters": {"k1": 8},
            "train": {"epochs": 30, "patience": 30, "batch_size": 64, "learning_rate": 5e-3, "step_size": 10},
            "split": {"held_out": ("B",)},
            "trials": 2,
            "seed": seed,
        },
        controls=True,
        device="cpu",
        out=out / "pretrain",
    )
    seen = out / "features/patches/features.h5"
    probe = ht.probe(
        {
            "features": out / "features/patches",
            "sources": {
                "frozen": {"features": seen},
                "hage": {"features": seen, "encoder": tuple(map(str, genes.encoders))},
            },
            "split": {"folds": 5, "seed": seed},
            "train": {"batch_size": 32},
        },
        controls=True,
        device="cpu",
        out=out / "probe",
    )
    return answer_of([read_run(probe.folder)])


def _seen(
    tissue: TissueMap, centres: Float[np.ndarray, "place 2"], *, diameter_px: float
) -> tuple[Float[np.ndarray, "place share"], Float[np.ndarray, " place"]]:
    fields = tissue.shares()
    means = {name: disc_means(field, centres, diameter_px=diameter_px) for name, field in fields.items()}
    programme = np.where(means["tumour"] > 0.05, means["activated"] / np.maximum(means["tumour"], 1e-6), 0.5)
    return np.stack([means[name] for name in COMPARTMENTS], 1), programme


def _spots(tissue: TissueMap) -> tuple[np.ndarray, Float[np.ndarray, "spot 2"]]:
    side = np.arange(1, SECTION_PX // SPACING_PX)
    array = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    centres = array * float(SPACING_PX)
    keep = disc_means((tissue.outline > 0).astype(np.float32), centres, diameter_px=110) > 0.6
    return array[keep], centres[keep]


def _write_section(root: Path, name: str, array: np.ndarray, centres: np.ndarray, counts: np.ndarray) -> None:
    for part in ("ST-cnts", "ST-spotfiles", f"ST-imgs/{name[0]}/{name}"):
        (root / part).mkdir(parents=True, exist_ok=True)
    table = ["\t".join(["", *SYMBOLS])]
    table += ["\t".join([f"{x}x{y}", *map(str, row)]) for (x, y), row in zip(array, counts.tolist(), strict=True)]
    with gzip.open(root / f"ST-cnts/{name}.tsv.gz", "wt", compresslevel=1) as file:
        file.write("\n".join(table) + "\n")
    lines = ["x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected"]
    lines += [
        f"{x}\t{y}\t{x}\t{y}\t{a:.1f}\t{b:.1f}\t1" for (x, y), (a, b) in zip(array, centres, strict=True)
    ]  # fmt: skip
    (root / f"ST-spotfiles/{name}_selection.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    white = np.full((SECTION_PX, SECTION_PX, 3), 255, np.uint8)
    cv2.imwrite(str(root / f"ST-imgs/{name[0]}/{name}/white.jpg"), white)  # that spots have a place; nobody reads it


def _meta(source: str) -> FeatureMeta:
    made = {"encoder": "planted", "encoder_licence": "Apache-2.0", "mpp_um_per_px": 0.5}
    return made_meta(source, **made, config_sha256=f"planted {source}")


def main() -> None:
    """Runs the seeds of both kinds, prints each sentence, and counts what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("runs/planted"))
    parser.add_argument("--keep", action="store_true", help="keep every seed's folder")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    for kind in given.kinds:
        wrong = 0
        for seed in range(given.first, given.first + given.seeds):
            folder, began = given.out / kind / str(seed), time.perf_counter()
            shutil.rmtree(folder, ignore_errors=True)
            answer = run_seed(folder, seed=seed, kind=kind)
            says = "the genes" in answer.sentence
            wrong += says is not (kind == "planted")
            took = time.perf_counter() - began
            print(f"{kind} seed {seed} ({took:.0f} s): {'genes' if says else 'no'}; {answer.sentence}", flush=True)
            if not given.keep:
                shutil.rmtree(folder)
        print(f"{kind}: {wrong} of {given.seeds} wrong", flush=True)


if __name__ == "__main__":
    main()
