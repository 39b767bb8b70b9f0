"""Small expression models in encoder directories."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hage_transfer import ExpressionModel, GeneInformedEncoder
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.expression_model import GeneLines

GENES = ("ERBB2", "KRT8", "CD3E", "FASN")
CARD = {"preset": "spot_log10", "frozen_encoder": "embedded", "frozen_encoder_sha256": "abc", "train_sections": ["A2"]}
N_FEATURES = 5


def make_model(
    seed: int = 0, *, genes: tuple[str, ...] = GENES, kind: Any = "mlp", width: int = N_FEATURES, informed: bool = True
) -> ExpressionModel:
    """An untrained model; attention is made sharp so that genes differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vectors = 3 * torch.randn(len(genes), 6)
        encoder = GeneInformedEncoder(vectors if informed else None, feature_dim=width, embed_dim=8, n_heads=2)
        predictor = build_predictor(kind, embed_dim=8, n_genes=len(genes), gene_vectors=vectors)
    rng = np.random.default_rng(seed)
    lines = GeneLines(rng.uniform(0.5, 2, len(genes)), rng.normal(size=len(genes)), rng.uniform(-1, 1, len(genes)))
    return ExpressionModel(encoder, predictor, genes=genes, lines=lines, kind=kind).eval()


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model as ``trial_<seed>`` and returns its directory."""

    def write(seed: int = 0, *, card: dict[str, Any] | None = None, **options: Any) -> Path:
        folder = tmp_path / f"trial_{seed}"
        make_model(seed, **options).save_pretrained(folder, card={**CARD, **(card or {})})
        return folder

    return write


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(11, N_FEATURES)).astype(np.float32)
