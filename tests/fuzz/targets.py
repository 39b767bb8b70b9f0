"""What is fuzzed: for each kind of file a right one, the damage that it takes, and the reader that commands use."""

import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import tifffile
import torch
import yaml
from anndata import AnnData
from PIL import Image

import hage_transfer
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.config import SectionsSettings, load_config
from hage_transfer.data.feature_file import FeatureMeta, read_features, write_features
from hage_transfer.data.feature_layouts import open_features
from hage_transfer.data.gene2vec import read_gene2vec
from hage_transfer.data.h5_file import check_below, open_h5, read_h5ad
from hage_transfer.data.labels import read_labels
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.published_table import Columns, write_label_table
from hage_transfer.data.sections import read_sections
from hage_transfer.data.sections.matrix_10x import read_matrix
from hage_transfer.encoders.weights import read_state
from hage_transfer.mil.checkpoint import FoldModel, read_fold_model, save_fold_model
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.models import build_model
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.slides.geojson import read_geojson
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.table import read_slide_table

ROOT = Path(hage_transfer.__file__).resolve().parents[1]
ROWS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
COORDS = np.arange(14).reshape(7, 2) * 256


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        make: writes a right one below a folder and gives the file that is damaged.
        damage: changes that file.
        read: what a command does with the folder; it may refuse by an error of ours and by nothing else.
        strict: whether damage that is accepted is a fault too, since a hash would find it.
    """

    make: Callable[[Path], Path]
    damage: Callable[[random.Random, Path], None]
    read: Callable[[Path], object]
    strict: bool = False


def by(mutation: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, Path], None]:
    """Damage by a mutation of a file's bytes."""

    def damage(rng: random.Random, path: Path) -> None:
        path.write_bytes(mutation(rng, path.read_bytes()))

    return damage


def written(name: str, content: str | bytes) -> Callable[[Path], Path]:
    """Maker of a file of given content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def recipe(name: str) -> str:
    """A recipe of the repository, every default written out."""
    kind = {"mil": MilConfig, "probes": ProbeConfig, "pretrain": PretrainConfig}[name]
    path = sorted((ROOT / "configs" / name).glob("*.yaml"))[0]
    return yaml.safe_dump(load_config(kind, path).model_dump(mode="json"))


def own_h5(folder: Path) -> Path:
    meta = FeatureMeta(
        source="s",
        encoder="uni",
        encoder_sha256="a" * 64,
        encoder_licence="MIT",
        patch_size_px=224,
        patch_size_level0_px=224,
        mpp_um_per_px=0.5,
        precision="float32",
        config_sha256="c" * 64,
    )
    write_features(folder / "s.h5", ROWS, meta, coords=COORDS, keys=[f"k{row}" for row in range(7)])
    return folder / "s.h5"


def clam_h5(folder: Path) -> Path:
    with h5py.File(folder / "s.h5", "w") as file:
        file.create_dataset("features", data=ROWS, chunks=(2, 4))
        file["coords"] = COORDS
        file["coords"].attrs["patch_size"] = 256
    return folder / "s.h5"


def words_h5(folder: Path) -> Path:
    """Text everywhere: packed, in pieces, in attributes of all objects, of fixed lengths too."""
    with h5py.File(clam_h5(folder), "r+") as file:
        words = [f"word {row}" for row in range(7)]
        file.create_dataset("keys", data=words, dtype=h5py.string_dtype(), chunks=(3,))
        for node in (file, file["features"], file["coords"]):
            node.attrs["encoder"], node.attrs["fixed"], node.attrs["words"] = "uni", np.bytes_(b"x" * 50), words
    return folder / "s.h5"


def section(folder: Path) -> Path:
    """A small section as AnnData: counts, positions, text in obs and uns."""
    obs = pd.DataFrame(
        {"patient": ["p"] * 7, "kind": pd.Categorical(list("ababaab"))}, index=[f"s{k}" for k in range(7)]
    )
    uns = {"section": {"mpp_um_per_px": 0.5, "image_path": ""}, "words": np.array(["a", "bb"], dtype=object)}
    counts = sp.csr_matrix(np.arange(28).reshape(7, 4) % 5)
    table = AnnData(counts, obs, pd.DataFrame(index=list("ABCD")), uns=uns, obsm={"spatial": COORDS})
    table.write_h5ad(folder / "s.h5ad")
    return folder / "s.h5ad"


def ten_x(folder: Path) -> Path:
    """A matrix as Space Ranger writes it."""
    counts = sp.csc_matrix(np.arange(28).reshape(4, 7) % 5)
    with h5py.File(folder / "m.h5", "w") as file:
        for name, values in (
            *((name, getattr(counts, name)) for name in ("data", "indices", "indptr")),
            *(("shape", counts.shape), ("barcodes", np.array([f"s{k}" for k in range(7)], "S"))),
            *((f"features/{name}", np.array(list("ABCD"), "S")) for name in ("id", "name", "genome")),
            ("features/feature_type", np.array(["Gene Expression"] * 4, "S")),
        ):
            file.create_dataset(f"matrix/{name}", data=values, chunks=True, compression="gzip")
    return folder / "m.h5"


def sections(folder: Path) -> None:
    for one in read_sections(SectionsSettings(layout="anndata", root=folder)):
        one.X.sum()
    read_h5ad(folder / "s.h5ad")


def tensor(folder: Path) -> Path:
    torch.save(torch.from_numpy(ROWS), folder / "s.pt")
    return folder / "s.pt"


def array(folder: Path) -> Path:
    np.save(folder / "s.npy", ROWS)
    return folder / "s.npy"


def zipped(folder: Path) -> Path:
    rows = "".join(f"c{k},s{k},{k % 3}\n" for k in range(400))
    with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", "case_id,slide_id,label\n" + rows)
    return folder / "t.zip"


def encoder(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.manual_seed(0)
        model = GeneInformedEncoder(torch.randn(3, 4), feature_dim=4, embed_dim=8, n_heads=2)
        card = {"frozen_encoder": "uni", "panel": ["A", "B", "C"], "preset": "spot_log10"}
        model.save_pretrained(folder / "encoder", card=card)
        return folder / "encoder" / part

    return make


def classifier(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_dim": 8, "attention_dim": 4}
    model = build_model("abmil", 4, n_classes=2, **sizes)
    meta = {"model": {"kind": "abmil", **sizes}, "encoder": "uni", "encoder_sha256": "a", "best_epoch": 1}
    path = folder / "models" / "frozen" / "trial_0" / "fold_0.safetensors"
    save_fold_model(
        path,
        FoldModel(
            model=model,
            mean=torch.zeros(4),
            std=torch.ones(4),
            classes=("a", "b"),
            source="frozen",
            trial=0,
            fold="0",
            meta=meta,
        ),
    )
    return path


def results(folder: Path) -> Path:
    records = [
        Record(task="mil", source="frozen", split="test", fold=str(fold), trial=0, metric="auc", value=0.5 + fold / 10)
        for fold in range(3)
    ]
    Results(records, {"classes": ["a", "b"]}).save(folder / "results.json")
    return folder / "results.json"


RING = [[0, 0], [60, 0], [60, 60], [0, 60], [0, 0]]
FEATURE = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [RING, [[9, 9], [20, 9], [20, 20], [9, 9]]]},
    "properties": {"objectType": "annotation", "classification": {"name": "Tissue", "color": [1, 2, 3]}},
}
GEOJSON = json.dumps({"type": "FeatureCollection", "features": [FEATURE] * 2}, indent=1)
LABELS = "slide,label,group,site\n" + "".join(f"s{k}.svs,{'ab'[k % 2]},p{k // 2},x\n" for k in range(30))
MANIFEST = "path,label,group,part\n" + "".join(f"a/{k}.png,{'ab'[k % 2]},p{k},train\n" for k in range(3))
GENE2VEC = "".join(f"GENE{k}\t{' '.join(str(k / 7 + n) for n in range(6))}\n" for k in range(20))


def state(folder: Path) -> Path:
    torch.save(torch.nn.Linear(4, 3).state_dict(), folder / "s.pt")
    return folder / "s.pt"


def images(folder: Path) -> Path:
    (folder / "a").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / "a" / f"{number}.png")
    return written("m.csv", MANIFEST)(folder)


def slide(name: str, how: str) -> Callable[[Path], Path]:
    """Maker of a tiled slide of two levels, as Aperio names it where it is an SVS."""

    def make(folder: Path) -> Path:
        image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        told = "Aperio Image Library v11.2.1\r\n300x300 |AppMag = 20|MPP = 0.5" if name.endswith("svs") else None
        with tifffile.TiffWriter(folder / name) as writer:
            for level in (image, image[::4, ::4]):
                writer.write(
                    level, tile=(128, 128), photometric="rgb", compression=how, metadata=None, description=told,
                    resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
                )  # fmt: skip
        return folder / name

    return make


def tiles(path: Path) -> None:
    with open_slide(path) as opened:
        for level in range(len(opened.levels)):
            opened.read_region(0, 0, level=level, width_px=256, height_px=256)
        opened.thumbnail(max_px=100)


def manifest(folder: Path) -> object:
    return read_patch_set(hage_transfer.config.PatchSetSettings(root=folder, manifest=folder / "m.csv"))


def of(mutations) -> dict[str, Target]:
    """All targets, with the damage of ``mutations`` (the module beside this one)."""
    bits, text, h5 = by(mutations.of_bytes), by(mutations.of_text), mutations.of_h5

    def features(path: Path) -> None:
        open_features(path).read()
        read_features(path)

    def features_of_others(path: Path) -> None:
        open_features(path).read()
        with open_h5(path) as file:
            check_below(path, file)
            for node in (file, *file.values()):
                dict(node.attrs)
            file["keys"].asstr()[...]

    return {
        "config of mil": Target(written("c.yaml", recipe("mil")), text, lambda f: load_config(MilConfig, f / "c.yaml")),
        "config of probes": Target(
            written("c.yaml", recipe("probes")), text, lambda f: load_config(ProbeConfig, f / "c.yaml")
        ),
        "config of pretrain": Target(
            written("c.yaml", recipe("pretrain")), text, lambda f: load_config(PretrainConfig, f / "c.yaml")
        ),
        "label table": Target(written("l.csv", LABELS), text, lambda f: read_labels(f / "l.csv")),
        "slide table": Target(written("l.csv", LABELS), text, lambda f: read_slide_table(f / "l.csv")),
        "manifest": Target(images, text, manifest),
        "zip": Target(
            zipped, bits, lambda f: write_label_table(f / "t.zip", f / "o.csv", Columns("slide_id", "label", "case_id"))
        ),
        "own h5": Target(own_h5, bits, lambda f: features(f / "s.h5")),
        "own h5, rewritten": Target(own_h5, h5, lambda f: features(f / "s.h5")),
        "CLAM's h5": Target(clam_h5, bits, lambda f: open_features(f / "s.h5").read()),
        "CLAM's h5, rewritten": Target(clam_h5, h5, lambda f: open_features(f / "s.h5").read()),
        "h5, lengths": Target(words_h5, by(mutations.of_lengths), lambda f: features_of_others(f / "s.h5")),
        "own h5, lengths": Target(own_h5, by(mutations.of_lengths), lambda f: features(f / "s.h5")),
        "h5ad": Target(section, bits, sections),
        "h5ad, lengths": Target(section, by(mutations.of_lengths), sections),
        "10x h5": Target(ten_x, bits, lambda f: read_matrix(f / "m.h5")),
        "10x h5, lengths": Target(ten_x, by(mutations.of_lengths), lambda f: read_matrix(f / "m.h5")),
        "tensor": Target(tensor, bits, lambda f: open_features(f / "s.pt").read()),
        "array": Target(array, bits, lambda f: open_features(f / "s.npy").read()),
        "frozen weights": Target(state, bits, lambda f: read_state(f / "s.pt")),
        "encoder's card": Target(
            encoder("config.json"), text, lambda f: GeneInformedEncoder.from_pretrained(f / "encoder")
        ),
        "encoder's weights": Target(
            encoder("model.safetensors"),
            bits,
            lambda f: GeneInformedEncoder.from_pretrained(f / "encoder"),
            strict=True,
        ),
        "classifier": Target(classifier, bits, lambda f: read_fold_model(f, source="frozen", trial=0, fold="0")),
        "svs": Target(slide("s.svs", "jpeg"), bits, lambda f: tiles(f / "s.svs")),
        "tiled tiff": Target(slide("s.tif", "adobe_deflate"), bits, lambda f: tiles(f / "s.tif")),
        "results": Target(results, text, lambda f: Results.load(f / "results.json")),
        "geojson": Target(
            written("s.geojson", GEOJSON), text, lambda f: read_geojson(f / "s.geojson", width_px=99, height_px=99)
        ),
        "gene2vec": Target(written("g.txt", GENE2VEC), text, lambda f: read_gene2vec(f / "g.txt")),
    }
