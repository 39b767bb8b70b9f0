"""Parts that another distribution installs: found by name, never shadowing ours, and named where they are broken."""

import numpy as np
import pytest

from hage_transfer.config import EncoderSettings, load_config
from hage_transfer.data.gene_embeddings import installed_embeddings
from hage_transfer.data.sections import section_names
from hage_transfer.encoders.registry import entries, load_encoder
from hage_transfer.errors import ConfigError, WeightsError
from hage_transfer.extensions import installed, load_extension
from hage_transfer.mil.config import MilModelSettings
from hage_transfer.mil.models import build_model
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.contenders import contenders
from hage_transfer.slides.reader import open_slide

ENCODER = """
class Mean:
    name = "mean-of-lab"
    def __call__(self, images):
        return images.reshape(len(images), -1, 3).mean(1)
"""
BAG = """
import torch
class Bag(torch.nn.Module):
    def __init__(self, feature_dim, n_classes):
        super().__init__()
        self.head = torch.nn.Linear(feature_dim, n_classes)
    def forward(self, tiles):
        return self.head(tiles.mean(0)), torch.full((len(tiles),), 1 / len(tiles))
"""
SECTIONS = """
from hage_transfer.data.sections import SectionLayout
layout = SectionLayout(lambda settings: {path.stem: path for path in settings.root.glob("*.lab")}, lambda *_: None)
"""
SLIDE = """
import numpy as np
class Flat:
    level_sizes_px, recorded, notes, origin_px = ((32, 16),), (), (), (0, 0)
    def __init__(self, path):
        self.value = int(path.read_text())
    def read(self, level, x_px, y_px, width_px, height_px):
        return np.full((height_px, width_px, 3), self.value, dtype=np.uint8)
    def close(self):
        pass
"""
GENES = "import numpy as np\ndef vectors():\n    return ('A', 'B'), np.eye(2)\nwrong = (('A',), np.eye(2))\n"
METHOD = """
from hage_transfer.pretrain.methods.base import Method
method = Method(name="lab-net", title="Lab net", reference="none", stochastic=True, calibrated=False, fit=print)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a distribution on disk, as pip would, and puts it on the path."""

    def make(name, group, entry, source):
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}_parts.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        entry = entry.replace("=", f"= {name}_parts:")
        (info / "entry_points.txt").write_text(f"[hage_transfer.{group}]\n{entry}\n")
        monkeypatch.syspath_prepend(str(folder))

    return make


def test_an_installed_encoder_is_loaded_by_name_and_listed(install):
    install("lab_enc", "encoders", "lab-mean =Mean", ENCODER)
    encoder = load_encoder(EncoderSettings(name="lab-mean"), device="cpu")
    assert encoder(np.zeros((2, 8, 8, 3), dtype=np.uint8)).shape == (2, 3)
    assert encoder.name == "mean-of-lab"
    assert "lab-mean" in {entry.name for entry in entries()}
    with pytest.raises(WeightsError, match="lab-meen: unknown encoder"):
        load_encoder(EncoderSettings(name="lab-meen"), device="cpu")


def test_an_installed_encoder_does_not_take_the_name_of_ours(install):
    install("lab_uni", "encoders", "embedded =Mean", ENCODER)
    assert load_encoder(EncoderSettings(name="embedded"), device="cpu").width == 352
    assert [entry.name for entry in entries()].count("embedded") == 1


def test_an_installed_bag_classifier_is_a_kind(install):
    install("lab_bag", "bag_classifiers", "lab-bag =Bag", BAG)
    kind = MilModelSettings(kind="lab-bag").sizes()["kind"]
    assert build_model(kind, 4, n_classes=3).network.head.out_features == 3
    with pytest.raises(ValueError, match="nearest: lab-bag"):
        MilModelSettings(kind="lab-bog")


def test_an_installed_section_reader_is_a_layout(install, tmp_path):
    install("lab_sec", "section_readers", "lab =layout", SECTIONS)
    (tmp_path / "one.lab").write_text("")
    config = load_config(PretrainConfig, None, [f"data.root={tmp_path}", "data.layout=lab"])
    assert section_names(config.data) == ["one"]
    with pytest.raises(ConfigError, match=r"data\.layout = 'laab': unknown; nearest: lab; all: her2st"):
        load_config(PretrainConfig, None, [f"data.root={tmp_path}", "data.layout=laab"])


def test_an_installed_slide_reader_reads_its_ending(install, tmp_path):
    install("lab_slide", "slide_readers", "labscan =Flat", SLIDE)
    (tmp_path / "s.labscan").write_text("7")
    with open_slide(tmp_path / "s.labscan", mpp_um_per_px=0.5) as slide:
        assert (slide.read_region(0, 0, level=0, width_px=4, height_px=2) == 7).all()


def test_installed_gene_embeddings_are_symbols_and_a_matrix(install):
    install("lab_genes", "gene_embeddings", "lab =vectors", GENES)
    install("lab_wrong", "gene_embeddings", "odd =wrong", GENES)
    found = installed_embeddings("lab")
    assert found.symbols == ("A", "B")
    assert found.vectors.dtype == np.float32
    with pytest.raises(ConfigError, match=r"genes\.installed = odd: 1 symbols and vectors of shape \(2, 2\)"):
        installed_embeddings("odd")
    with pytest.raises(ConfigError, match=r"genes\.installed = labb: no distribution installs it.*nearest: lab"):
        installed_embeddings("labb")


def test_an_installed_pretraining_system_competes(install, tmp_path):
    install("lab_net", "pretraining", "lab-net =method", METHOD)
    config = load_config(PretrainConfig, None, [f"data.root={tmp_path}", "methods=[hage, lab-net]"])
    assert [one.source for one in contenders(config)] == ["hage", "lab-net"]
    with pytest.raises(ConfigError, match="unknown; nearest: lab-net"):
        load_config(PretrainConfig, None, [f"data.root={tmp_path}", "methods=[lab-nett]"])


def test_a_broken_entry_point_names_its_distribution(install):
    install("lab_broken", "encoders", "lab-broken =Nothing", "raise RuntimeError('no licence')\n")
    assert "lab-broken" in installed("encoders")
    with pytest.raises(ConfigError, match=r"lab_broken 1\.0: its entry lab-broken .*RuntimeError: no licence\)"):
        load_encoder(EncoderSettings(name="lab-broken"), device="cpu")


def test_two_distributions_of_one_name_are_refused(install):
    install("lab_a", "encoders", "lab-two =Mean", ENCODER)
    install("lab_b", "encoders", "lab-two =Mean", ENCODER)
    with pytest.raises(ConfigError, match=r"lab_b 1\.0 and lab_a 1\.0 both install lab-two"):
        load_extension("encoders", "lab-two")
