"""Tiny folds in memory: sections on a square grid whose features carry their expression, or carry nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from feature_meta import feature_meta
from scipy.ndimage import gaussian_filter

from hage_transfer.data.expression import normalise
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import FoldData, Spots
from hage_transfer.pretrain.folds import LeftOut
from hage_transfer.pretrain.methods.base import Task

N_GENES, SIDE, PITCH_PX = 20, 8, 256.0
MakeTask = Callable[..., Task]


def make_spots(sizes: Sequence[int], *, seed: int, names: Sequence[str], signal: bool = True) -> Spots:
    """Sections of ``sizes`` spots; two hidden programs drive the counts and, with ``signal``, the features.

    With ``signal`` the programs are smooth over the section, as tissue is: Hist2ST's graph reads neighbours alone.
    """
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(2, N_GENES))
    level = np.random.default_rng(98).normal(size=N_GENES)
    program = np.concatenate([_program(rng, n, smooth=signal) for n in sizes])
    counts = rng.poisson(np.exp(1.5 + level + 0.7 * program @ loadings)).astype(np.float32)
    shown = program + 0.2 * rng.normal(size=program.shape) if signal else rng.normal(size=program.shape)
    features = np.concatenate([shown, rng.normal(size=(sum(sizes), 6))], axis=1).astype(np.float32)
    places = [np.stack([np.arange(n) % SIDE, np.arange(n) // SIDE], axis=1) for n in sizes]
    spots = Spots(
        features=features,
        counts=counts,
        target=normalise(counts, "spot_log10"),
        coords_px=PITCH_PX * np.concatenate(places) + 500.0,
        section=np.repeat(np.arange(len(sizes)), sizes),
        section_names=tuple(names),
        patient=tuple(name[0] for name in names),
        spot_names=tuple(str(number) for number in range(sum(sizes))),
    )
    for array in (spots.features, spots.counts, spots.target, spots.coords_px):
        array.setflags(write=False)  # as a memory map
    return spots


def _program(rng: np.random.Generator, n_spots: int, *, smooth: bool) -> np.ndarray:
    field = rng.normal(size=(2, SIDE, SIDE))
    if smooth:
        field = gaussian_filter(field, sigma=(0, 1.2, 1.2), mode="reflect")
        field /= field.std(axis=(1, 2), keepdims=True)
    return field.reshape(2, -1).T[:n_spots]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """A trial on two training sections and one test section; ``train`` and ``test`` replace them."""

    def make(
        *,
        epochs: int = 1,
        seed: int = 0,
        signal: bool = True,
        train: Spots | None = None,
        test: Spots | None = None,
    ) -> Task:
        train = train or make_spots([48, 48, 48], seed=1, names=["A1", "A2", "B1"], signal=signal)
        test = test or make_spots([64, 64], seed=2, names=["C1", "C2"], signal=signal)
        config = PretrainConfig.model_validate(
            {
                "data": {"root": tmp_path},
                "split": {"unit": "section"},
                "train": {"epochs": epochs, "patience": epochs, "batch_size": 32},
            }
        )
        data = FoldData(
            fold=LeftOut("C", train.section_names, test.section_names),
            train=train,
            test=test,
            genes=tuple(f"GENE{number}" for number in range(N_GENES)),
            gene_vectors=np.zeros((N_GENES, 4), dtype=np.float32),
            gene_source="none",
            feature_meta=feature_meta(
                "A1",
                encoder_sha256="abc",
                patch_size_px=16,
                patch_size_level0_px=16,
                mpp_um_per_px=None,
                config_sha256="hash",
            ),
        )
        order = np.random.default_rng(0).permutation(len(train))
        n_validation = len(order) // 5
        return Task(
            data=data,
            rows=np.sort(order[n_validation:]),
            validation_rows=np.sort(order[:n_validation]),
            config=config,
            seed=seed,
            device="cpu",
            tensorboard=tmp_path / "tensorboard",
        )

    return make


@pytest.fixture
def sections() -> Callable[..., Spots]:
    """``make_spots``."""
    return make_spots
