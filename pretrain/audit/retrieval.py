"""Image-to-spot retrieval: how often a spot's own expression is among the k nearest to its image, beside chance.

What the contrastive terms are trained for, measured on a test section. It reads the section's expression through the
expression encoder and is for the evaluation alone.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from hage_transfer.compare.records import Record
from hage_transfer.data.h5_file import open_h5
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.made_rows import in_parts
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.section_rows import over_trials, section_rows

KS = (1, 5, 10, 50)
GROUP = "retrieval"
_ENTRIES_AT_A_TIME = 2**24
_TIE = 1e-6


@torch.inference_mode()
def retrieval_at_k(
    image: Float[Tensor, "spot embed"], expression: Float[Tensor, "spot embed"], *, ks: Sequence[int] = KS
) -> Float[np.ndarray, " k"]:
    """Share of spots whose own expression embedding is among the k of highest cosine to their image embedding.

    Candidates are the spots of one section. Candidates within 1e-6 of the true one's cosine are ties, broken at
    random in expectation, so that embeddings which are all alike score chance, k / N. Cosines are computed by blocks
    of rows, so memory does not grow with N squared.

    Args:
        image: image embeddings of one section's spots; row i belongs to row i of ``expression``.
        expression: expression embeddings.
        ks: numbers of candidates looked at, each 1 or more.

    Raises:
        ValueError: shapes differ, or no spot.
    """
    if image.shape != expression.shape or not len(image):
        raise ValueError(
            f"image and expression embeddings differ in shape or are empty: {image.shape}, {expression.shape}"
        )
    image, expression = functional.normalize(image, dim=1), functional.normalize(expression, dim=1)
    better, tied = (torch.empty(len(image), dtype=torch.int64) for _ in range(2))
    step = max(1, _ENTRIES_AT_A_TIME // len(image))
    for start in range(0, len(image), step):
        rows = slice(start, start + step)
        cosines = image[rows] @ expression.T
        own = cosines.diagonal(offset=start)[:, None]
        better[rows] = (cosines > own + _TIE).sum(1).cpu()
        tied[rows] = ((cosines - own).abs() <= _TIE).sum(1).cpu()
    among = [((k - better) / tied).clamp(0, 1).double().mean().item() for k in ks]
    return np.array(among)


def chance_at_k(n_spots: int, *, ks: Sequence[int] = KS) -> Float[np.ndarray, " k"]:
    """What guessing gives: k / N, 1 at most."""
    return np.minimum(np.array(ks) / n_spots, 1.0)


def write_retrieval(file: h5py.File, module: HageModule, data: FoldData) -> None:
    """Puts (k, share, chance) rows of each test section into a trial's open file as ``retrieval/<section>``."""
    for name in data.test.section_names:
        rows = data.test.rows_of(name)
        share = retrieval_at_k(*_embeddings(module, data, rows))
        file[f"{GROUP}/{name}"] = np.stack([np.array(KS), share, chance_at_k(len(rows))], axis=1)


def retrieval_records(trials: Sequence[Path], *, fold: str, source: str = "hage") -> list[Record]:
    """Records ``retrieval_at_<k>`` and ``retrieval_at_<k>_chance`` of each trial and test section, and their means.

    Args:
        trials: prediction files in the order of trials.
        fold: the held-out unit.
        source: in the results.
    """
    records = []
    for number, path in enumerate(trials):
        by_section: dict[str, dict[str, float]] = {}
        with open_h5(path) as file:
            for name, table in file[GROUP].items():
                by_section[name] = {}
                for k, share, chance in table[...].tolist():
                    by_section[name][f"retrieval_at_{int(k)}"] = share
                    by_section[name][f"retrieval_at_{int(k)}_chance"] = chance
        records += section_rows(by_section, source=source, fold=fold, trial=number)
    return records + over_trials(records)


@torch.inference_mode()
def _embeddings(module: HageModule, data: FoldData, rows: Int[np.ndarray, " row"]) -> tuple[Tensor, Tensor]:
    image, expression = [], []
    for part in in_parts(rows, module.n_genes):
        image.append(module.encoder(torch.from_numpy(data.test.features[part])))
        expression.append(module.expression(torch.from_numpy(data.test.target[part])))
    return torch.cat(image), torch.cat(expression)
