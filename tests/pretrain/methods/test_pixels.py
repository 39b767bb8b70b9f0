"""Systems whose image network trains on patches: what they learn, what they are shown, what is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_matrix

from hage_transfer.errors import ConfigError, DataError, WeightsError
from hage_transfer.pretrain import pixels
from hage_transfer.pretrain.config import PIXEL_NAMES, PatchSettings, PixelSettings
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.inputs import section_sha256
from hage_transfer.pretrain.methods.base import Task
from hage_transfer.pretrain.methods.images import Pixels, image_network, image_side, turned
from hage_transfer.pretrain.methods.registry import METHODS
from hage_transfer.pretrain.methods.score import section_pcc
from hage_transfer.pretrain.methods.stnet import StNet
from hage_transfer.pretrain.stored_sections import StoredSections, store_section
from hage_transfer.tensor_files import save_tensors

SIDE = 32
QUICK = {"network": "test_resnet", "size_px": SIDE, "learning_rate": 1e-3}
SIZES = {"histogene_pixels": {"width": 32, "depth": 1, "n_heads": 2}}
RATES = {"stnet_pixels": 1e-4}


def shown(spots: Spots, *, seed: int = 0) -> Spots:
    """Spots with patches of noise whose colour carries the two programs that the features carry."""
    programs = 1 / (1 + np.exp(-spots.features[:, None, None, :2]))
    noise = np.random.default_rng(seed).uniform(0, 60, (len(spots), SIDE, SIDE, 3))
    noise[..., :2] += 190 * programs
    return replace(spots, patches=noise.astype(np.uint8), features=np.zeros_like(spots.features))


@pytest.fixture
def pixel_task(make_task: Callable[..., Task]) -> Callable[..., Task]:
    def make(*, epochs: int = 1, rate: float = 1e-3, **given: Spots) -> Task:
        task = make_task(epochs=epochs, **given)
        data = replace(task.data, train=shown(task.data.train), test=shown(task.data.test, seed=1))
        settings = PixelSettings.model_validate({**QUICK, "learning_rate": rate})
        return replace(task, data=data, config=task.config.model_copy(update={"pixels": settings}))

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", PIXEL_NAMES)
def test_a_signal_in_pixels_alone_is_learned(
    name: str, pixel_task: Callable[..., Task], sections: Callable[..., Spots]
):
    train = sections([64] * 6, seed=1, names=["A1", "A2", "B1", "B2", "D1", "D2"])
    task = pixel_task(epochs=6, rate=RATES.get(name, 1e-3), train=train)
    trained = METHODS[name].fit(task, **SIZES.get(name, {}))
    test = task.data.test
    assert section_pcc(trained.test, test.target, test.section) > 0.3
    assert trained.encoder is None
    assert trained.train.shape == task.data.train.target.shape


@pytest.mark.parametrize("name", PIXEL_NAMES)
def test_the_same_seed_gives_the_same_bits(name: str, pixel_task: Callable[..., Task]):
    sizes = {**SIZES.get(name, {}), **({"min_steps": 2} if name in SIZES else {})}
    one, other = (METHODS[name].fit(pixel_task(), **sizes) for _ in range(2))
    np.testing.assert_array_equal(one.test, other.test)


def test_gradients_reach_the_first_layer_of_the_image_network(pixel_task: Callable[..., Task]):
    task = pixel_task()
    data = replace(task.data, train=replace(task.data.train, features=task.data.train.patches))
    network = StNet(*image_side(replace(task, data=data, pixels=True)), torch.zeros(20))
    torch.nn.init.normal_(network.linear.weight)
    network.linear(network.images(torch.from_numpy(data.train.features[:8]))).square().sum().backward()
    stem = next(network.images.parameters())
    assert stem.grad is not None
    assert stem.grad.abs().sum() > 0


def test_patches_turn_only_while_they_train():
    patches = torch.arange(2 * 3 * 3 * 3, dtype=torch.uint8).view(2, 3, 3, 3)
    forms = {turned(patches[:1], turn).numpy().tobytes() for turn in range(8)}
    assert len(forms) == 8
    seen, still = Pixels(turned=True), Pixels(turned=False)
    torch.manual_seed(0)
    drawn = {
        ((seen(patches)[0] * seen.std + seen.mean) * 255).round().byte().permute(1, 2, 0).numpy().tobytes()
        for _ in range(99)
    }
    assert drawn == forms
    assert torch.equal(seen.eval()(patches), still(patches))
    assert torch.equal(patches, torch.arange(54, dtype=torch.uint8).view(2, 3, 3, 3))


def test_weights_of_a_file_are_taken_and_others_refused(tmp_path: Path):
    settings = PixelSettings.model_validate({**QUICK, "weights": tmp_path / "own.safetensors"})
    with pytest.raises(WeightsError, match=r"pixels\.weights = .*: no such file"):
        image_network(settings)
    state = image_network(PixelSettings.model_validate(QUICK)).state_dict()
    save_tensors(tmp_path / "own.safetensors", {**state, "fc.weight": torch.zeros(3, 96), "fc.bias": torch.zeros(3)})
    found = image_network(settings).state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    with pytest.raises(WeightsError, match="not the weights of resnet18"):
        image_network(settings.model_copy(update={"network": "resnet18"}))
    with pytest.raises(ConfigError, match="no network of timm; nearest: resnet18"):
        image_network(settings.model_copy(update={"network": "resnet81"}))


@pytest.fixture
def section(tmp_path: Path) -> anndata.AnnData:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 260, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "A1.png")
    facts = {"name": "A1", "patient": "A", "image_path": str(tmp_path / "A1.png"), "mpp_um_per_px": 0.5}
    found = anndata.AnnData(csr_matrix(np.ones((3, 2), dtype=np.float32)))
    found.obsm["spatial"] = np.array([[60.0, 60.0], [100.0, 70.0], [180.0, 120.0]])
    found.uns["section"] = facts
    return found


def test_patches_are_cut_once_and_again_where_anything_changes(
    section: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    patch, settings = PatchSettings(size_px=64), PixelSettings(size_px=16, cache=tmp_path / "cache")
    first = pixels.cached_patches(section, patch, settings)
    image = np.asarray(Image.open(tmp_path / "A1.png"))[28:92, 28:92]
    expected = image.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(first[0].astype(float) - expected).max() <= 0.5

    cuts: list[int] = []
    cut = pixels.iter_spot_patches
    monkeypatch.setattr(pixels, "iter_spot_patches", lambda *a, **k: cuts.append(1) or cut(*a, **k))
    np.testing.assert_array_equal(pixels.cached_patches(section, patch, settings), first)
    assert not cuts
    pixels.cached_patches(section, PatchSettings(size_px=32), settings)
    section.obsm["spatial"] = section.obsm["spatial"] + 1
    pixels.cached_patches(section, patch, settings)
    Image.new("RGB", (260, 200), "pink").save(tmp_path / "A1.png")
    pixels.cached_patches(section, patch, settings)
    assert len(cuts) == 3


def test_patches_go_with_their_section_to_a_job(section: anndata.AnnData, tmp_path: Path):
    settings = PixelSettings(size_px=16, cache=tmp_path / "cache")
    before = section_sha256(section)
    pixels.attach_patches([section], PatchSettings(size_px=64), settings)
    assert section_sha256(section) != before
    stored = StoredSections({"A1": store_section(section, tmp_path, sha256="abc")}, tmp_path)["A1"]
    np.testing.assert_array_equal(
        stored.obsm[pixels.PATCHES], pixels.cached_patches(section, PatchSettings(size_px=64), settings)
    )


def test_a_damaged_cache_is_named(section: anndata.AnnData, tmp_path: Path):
    patch, settings = PatchSettings(size_px=64), PixelSettings(size_px=16, cache=tmp_path / "cache")
    pixels.cached_patches(section, patch, settings)
    path = next((tmp_path / "cache").glob("A1-*.npy"))
    for damage in (path.read_bytes()[:200], b""):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=f"{path.name}: .*remove it, it is made again"):
            pixels.cached_patches(section, patch, settings)
