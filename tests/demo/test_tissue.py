import numpy as np
import pytest

from hage_transfer.demo.paint import paint
from hage_transfer.demo.stain import draw_stain
from hage_transfer.demo.tissue import TissueTraits, disc_means, make_tissue


def test_make_tissue_compartments_do_not_overlap() -> None:
    shares = make_tissue(np.random.default_rng(0), (1200, 1000), TissueTraits()).shares()
    total = sum(shares[name] for name in ("tumour", "stroma", "lymphoid", "fat"))
    assert np.max(total) <= 1
    assert all(shares[name].any() for name in ("tumour", "stroma", "lymphoid", "fat"))
    assert np.all(shares["activated"] <= shares["tumour"])


def test_make_tissue_fills_leaves_no_glass() -> None:
    tissue = make_tissue(np.random.default_rng(1), (600, 600), TissueTraits(), fills=True)
    assert np.all(tissue.outline > 0)


def test_disc_means_of_a_ramp_is_its_value_at_the_centre() -> None:
    ramp = np.tile(np.arange(100, dtype=np.float32), (80, 1))
    means = disc_means(ramp, np.array([[244.0, 200.0], [404.0, 300.0]]), diameter_px=110)
    assert means == pytest.approx([30, 50], abs=0.01)


def test_paint_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def image(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return paint(make_tissue(rng, (320, 480), TissueTraits()), draw_stain(rng), rng)

    assert image(0).shape == (320, 480, 3)
    assert np.array_equal(image(0), image(0))
    assert not np.array_equal(image(0), image(1))


def test_paint_nuclei_are_bluer_than_stroma_and_glass_is_bright() -> None:
    rng = np.random.default_rng(3)
    tissue = make_tissue(rng, (1600, 1600), TissueTraits(lymphoid=0.3))
    image = paint(tissue, draw_stain(rng, spread=0.0), rng).astype(float)
    cells = image.reshape(200, 8, 200, 8, 3).mean((1, 3))
    shares = tissue.shares()
    lymphoid, stroma = (cells[shares[name] > 0].mean(0) for name in ("lymphoid", "stroma"))
    assert lymphoid[0] < stroma[0] - 40  # haematoxylin takes red, eosin does not
    assert stroma[1] < stroma[0] - 40  # eosin takes green
    assert cells[tissue.outline < -0.5].min() > 200
