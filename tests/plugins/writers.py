"""Every writer of the project, each with something small to write."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import torch
from feature_meta import feature_meta
from matplotlib.figure import Figure
from scipy.sparse import csr_matrix

import hage_transfer
from hage_transfer.compare.out_of_fold import OutOfFold, write_scores
from hage_transfer.compare.splits import write_split
from hage_transfer.data.feature_file import Features, write_features
from hage_transfer.data.feature_journal import FeatureJournal
from hage_transfer.data.feature_layouts import write_layout
from hage_transfer.data.feature_layouts.tensor_file import write_tensor
from hage_transfer.data.h5_writing import write_h5ad
from hage_transfer.demo import patches, sections, slides
from hage_transfer.encoders.adapter import save_adapter
from hage_transfer.explain import files
from hage_transfer.explain.genes import TileGenes
from hage_transfer.mil.checkpoint import FoldModel, save_fold_model
from hage_transfer.mil.heatmap import Explanation
from hage_transfer.mil.heatmap_geojson import write_attention_geojson
from hage_transfer.mil.models import build_model
from hage_transfer.models.checkpoint import write_encoder
from hage_transfer.pretrain.genes import write_panel_report
from hage_transfer.pretrain.methods.base import Trained
from hage_transfer.pretrain.outputs import publish_encoder
from hage_transfer.pretrain.stored_sections import store_section
from hage_transfer.pretrain.trial_files import HAGE, TrialSummary, write_trained
from hage_transfer.probes.checkpoint import SavedProbes, save_probes
from hage_transfer.probes.linear import LinearProbes
from hage_transfer.report.attention_contact import ContactRow, draw_contact_sheet
from hage_transfer.report.attention_map import TilePlaces, draw_attention_map
from hage_transfer.report.maps import _Sheet
from hage_transfer.report.thumbnail import Thumbnail
from hage_transfer.running.atomic import atomic_path, reserve, write_csv, write_text
from hage_transfer.slides.outline import write_picture

ROOT = Path(hage_transfer.__file__).resolve().parents[1]
ROWS = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
COORDS = np.stack([np.arange(len(ROWS)) % 60, np.arange(len(ROWS)) // 60], axis=1) * 256
NAMES = [f"a name that takes room {number}" for number in range(len(ROWS))]
NOISE = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
BELOW = {"atomic_path", "atomic_folder", "new_h5", "new_h5ad"}


def features(folder: Path) -> None:
    write_features(folder / "s.h5", ROWS, feature_meta("s"), keys=NAMES, coords=COORDS)


def layout(name: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        found = Features(ROWS, None, COORDS, feature_meta("s"))
        write_layout(found, name, folder)

    return write


def journal(folder: Path) -> None:
    for _ in range(2):  # what is there is copied when it is opened again
        kept = FeatureJournal(folder / "s.h5", identity="s", width=ROWS.shape[1])
        with closing(kept):
            kept.append(ROWS)


def mapped(folder: Path) -> None:
    with atomic_path(folder / "a.npy") as temporary:
        kept = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=NOISE.shape)
        with temporary.open("rb+") as file:
            reserve(file, temporary.stat().st_size)
        kept[...] = NOISE
        kept.flush()


def fold_model(folder: Path) -> None:
    sizes = {"hidden_dim": 64, "attention_dim": 32}
    model = build_model("abmil", 16, n_classes=2, **sizes)
    meta = {"model": {"kind": "abmil", **sizes}, "encoder": "uni", "encoder_sha256": "a", "best_epoch": 1}
    save_fold_model(
        folder / "models" / "fold_0.safetensors",
        FoldModel(
            model=model, mean=torch.zeros(16), std=torch.ones(16), classes=("a", "b"), source="frozen", trial=0,
            fold="0", meta=meta,
        ),
    )  # fmt: skip


def stored_section(folder: Path) -> None:
    genes = pd.DataFrame(index=[f"G{number}" for number in range(ROWS.shape[1])])
    section = ad.AnnData(csr_matrix(ROWS), obs=pd.DataFrame(index=NAMES), var=genes, obsm={"spatial": COORDS})
    section.uns["section"] = {"name": "s"}
    store_section(section, folder, sha256="s" * 64)


def probes(folder: Path) -> None:
    weights = LinearProbes(torch.zeros(2, 2, 500), torch.zeros(2, 2), torch.zeros(500))
    save_probes(folder / "p.safetensors", SavedProbes(probes=weights, heads=("0", "1"), classes=("a", "b"), meta={}))


def encoder(folder: Path) -> None:
    card = {"frozen_encoder": "uni", "panel": ["A"], "preset": "spot_log10", "feature_dim": 16, "embed_dim": 16}
    write_encoder(folder / "encoders" / "f" / "trial_0", tensors={"a": torch.from_numpy(ROWS)}, card=card)


def adapter(folder: Path) -> None:
    card = {"frozen_encoder": "uni", "frozen_encoder_sha256": "abc", "rank": 1, "alpha": 1}
    save_adapter(folder / "adapter", {"a.lora_A.weight": torch.from_numpy(ROWS)}, card=card)


def published(folder: Path) -> None:
    encoder(folder)
    publish_encoder(folder, {("f", HAGE, 0): TrialSummary(0.5, [])})


def tiles() -> files.ExplainedTiles:
    weights = np.full(len(ROWS), 1 / len(ROWS), np.float32)
    explanation = Explanation(
        slide=None, classes=("a", "b"), probabilities=np.array([0.5, 0.5]), attention=weights,
        tile_probabilities=None, agreement=1.0, kind="abmil",
    )  # fmt: skip
    return files.ExplainedTiles(explanation, weights > 1, COORDS)


def explained(folder: Path) -> None:
    genes = TileGenes(ROWS.T.copy(), None, float("nan"))
    facts = {"validation_pcc": None, "heldout_pcc": None}
    tiles().write_h5ad(folder / "tiles.h5ad", genes, [f"G{number}" for number in range(16)], facts)


def attention_map(folder: Path) -> None:
    picture = Thumbnail(NOISE, 1 / 256)
    places = TilePlaces(COORDS.astype(float), (256.0, 256.0))
    draw_attention_map(folder / "map.png", picture, places, np.linspace(0, 100, len(ROWS)), title="a")


def contact_sheet(folder: Path) -> None:
    row = ContactRow("deciding", [0, 1], ["a", "b"], [(1, 2, 3)] * 2)
    draw_contact_sheet(folder / "tiles.png", [row], lambda _: NOISE, title="a")


def sheet(folder: Path) -> None:
    figure = Figure()
    figure.figimage(NOISE)
    _Sheet.save(SimpleNamespace(figure=figure), folder / "map.png")


def scores(folder: Path) -> None:
    one = OutOfFold("frozen", 0, np.full((len(ROWS), 2), 0.5))
    rows = {"0": np.arange(len(ROWS))}
    write_scores(
        folder / "p.csv", [one, one], key_column="slide", keys=NAMES, test_rows=rows,
        columns=lambda _, found: {"a": found[:, 0]},
    )  # fmt: skip


def geojson(folder: Path) -> None:
    write_attention_geojson(
        folder / "a.geojson", COORDS, (256.0, 256.0), percentile=np.linspace(0, 100, len(ROWS)), measurements={},
        colour=lambda _: (1, 2, 3),
    )  # fmt: skip


TABLE = pd.DataFrame({"name": NAMES, "value": ROWS[:, 0]})
TRAINED = Trained(ROWS, ROWS, 0.5, curves=[(0, "loss", 1.0)])
FOLD = SimpleNamespace(train=type("Train", (), {"target": ROWS, "__len__": lambda self: len(ROWS)})())
WRITERS: dict[str, Callable[[Path], object]] = {
    "hage_transfer/running/atomic:write_text": lambda out: write_text(out / "a.txt", "\n".join(NAMES)),
    "hage_transfer/running/atomic:write_csv": lambda out: write_csv(
        out / "a.csv", ["a"], [{"a": name} for name in NAMES]
    ),
    "hage_transfer/compare/out_of_fold:write_scores": scores,
    "hage_transfer/compare/splits:write_split": lambda out: write_split(
        out / "splits_0.csv", train=NAMES, validation=[], test=[]
    ),
    "hage_transfer/data/feature_file:write_blocks": features,
    "hage_transfer/pretrain/stored_sections:store_section": stored_section,
    "hage_transfer/data/feature_journal:__init__": journal,
    "hage_transfer/data/feature_layouts/tensor_file:write_tensor": lambda out: write_tensor(
        out / "s.pt", iter([ROWS]), n_rows=len(ROWS), width=16, dtype=np.dtype(np.float32)
    ),
    "hage_transfer/data/feature_layouts/write:_write_h5": layout("hage"),
    "hage_transfer/data/feature_layouts/write:_write_h5 clam": layout("clam"),
    "hage_transfer/data/h5_writing:write_h5ad": lambda out: write_h5ad(
        out / "a.h5ad", ad.AnnData(ROWS, obs=TABLE.set_index("name"))
    ),
    "hage_transfer/demo/patches:_write_h5": lambda out: patches._write_h5(out / "x.h5", "x", NOISE[None]),
    "hage_transfer/demo/sections:_write_spot_file": lambda out: sections._write_spot_file(
        out / "s.tsv", COORDS, COORDS * 1.5
    ),
    "hage_transfer/demo/sections:_write_counts": lambda out: sections._write_counts(out / "s.gz", COORDS, COORDS),
    "hage_transfer/demo/slides:write_pyramid": lambda out: slides.write_pyramid(out / "s.tif", NOISE),
    "hage_transfer/explain/files:write_table": lambda out: files.write_table(out / "genes.csv", TABLE),
    "hage_transfer/explain/files:write_csv": lambda out: tiles().write_csv(out / "tiles.csv"),
    "hage_transfer/explain/files:write_h5ad": explained,
    "hage_transfer/models/checkpoint:write_encoder": encoder,
    "hage_transfer/encoders/adapter:save_adapter": adapter,
    "hage_transfer/report/attention_contact:draw_contact_sheet": contact_sheet,
    "hage_transfer/report/attention_map:draw_attention_map": attention_map,
    "hage_transfer/report/maps:save": sheet,
    "hage_transfer/slides/outline:write_picture": lambda out: write_picture(out / "s.png", NOISE),
    "hage_transfer/pretrain/genes:write_panel_report": lambda out: write_panel_report(
        out / "panel.csv", SimpleNamespace(report=TABLE)
    ),
    "hage_transfer/pretrain/outputs:publish_encoder": published,
    "hage_transfer/pretrain/pixels:cached_patches": mapped,
    "hage_transfer/pretrain/trial_files:write_trained": lambda out: write_trained(out / "t.h5", TRAINED, FOLD),
    "hage_transfer/probes/checkpoint:save_probes": probes,
    "hage_transfer/mil/checkpoint:save_fold_model": fold_model,
    "hage_transfer/mil/heatmap_geojson:write_attention_geojson": geojson,
}
"""Writers by module and function; one of a kind of its own may have several."""
AS = {
    "hage_transfer/apply/leave:_write": "hage_transfer/models/checkpoint:write_encoder",
    "hage_transfer/apply/run:apply_classifier": "hage_transfer/explain/files:write_table",
    "hage_transfer/apply/look:look_before": "hage_transfer/explain/files:write_table",
    "hage_transfer/demo/sections:_write_section": "hage_transfer/slides/outline:write_picture",
    "hage_transfer/door/robustness:robustness": "hage_transfer/explain/files:write_table",
    "hage_transfer/encode/section_check:_checked": "hage_transfer/report/maps:save",
    "hage_transfer/pretrain/genes:fold_genes": "hage_transfer/pretrain/trial_files:write_trained",
    "hage_transfer/pretrain/outputs:write_predictions": "hage_transfer/data/h5_writing:write_h5ad",
    "hage_transfer/pretrain/train:_write_predictions": "hage_transfer/pretrain/trial_files:write_trained",
    "hage_transfer/probes/jobs:run_probe_job": "hage_transfer/pretrain/pixels:cached_patches",
    "hage_transfer/mil/progress_file:save_if_due": "hage_transfer/mil/checkpoint:save_fold_model",
    "hage_transfer/report/pdf:write_pdf": "hage_transfer/running/atomic:write_text",
    "hage_transfer/viewer/overview_pyramid:_keep": "hage_transfer/report/maps:save",
}
"""Writers at the end of long work, and the one that writes as they do; `tests/kills/run.py` fills the disk of both."""
SLOW = {name for name in WRITERS if ":draw" in name}
