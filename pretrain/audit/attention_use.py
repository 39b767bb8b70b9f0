"""Whether the encoder uses its genes: how even its attention is, and how much what it adds differs by spot.

Where every patch attends to every gene alike, the attention adds one and the same vector to all patches: then GE is a
learned offset, whatever the gene embeddings are, and no control of them can change a score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float32

from hage_transfer.compare.records import Record
from hage_transfer.data.h5_file import open_h5
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.section_rows import over_trials, section_rows

GROUP = "attention"
_SPOTS_AT_A_TIME, _ENTRIES = 1024, 2**22


@dataclass(frozen=True)
class AttentionUse:
    """What the attention of an encoder does over the spots of one section.

    Attributes:
        entropy: mean entropy of the attention weights, over spots and heads, as a share of ln(genes), or of
            ln(programmes); 1: even.
        spread: standard deviation over spots of the vector that the attention adds, as a share of the projected
            features' to which it is added; 0: the same for every spot.
    """

    entropy: float
    spread: float


@torch.inference_mode()
def attention_use(encoder: GeneInformedEncoder, features: Float32[np.ndarray, "spot feature"]) -> AttentionUse:
    """How an encoder in eval mode uses its genes on the spots of one section.

    Raises:
        ValueError: the encoder was trained without genes, or has a single one.
    """
    n_tokens = 0 if encoder.gene_embeddings is None else len(encoder.tokens)
    if n_tokens < 2:
        raise ValueError("attention to genes needs an encoder with two genes or more")
    step = min(_SPOTS_AT_A_TIME, max(1, _ENTRIES // (n_tokens * encoder.attention.n_heads)))
    entropies = torch.empty(len(features))
    patches, added = torch.empty(2, len(features), encoder.embed_dim)  # one block, not a piece beside each temporary
    for start in range(0, len(features), step):
        rows = slice(start, start + step)
        part = torch.from_numpy(features[rows])
        entropies[rows] = torch.special.entr(encoder.token_attention(part)).sum(-1).mean(1)
        patches[rows], added[rows] = encoder.with_genes(part)
    spreads = [found.std(0, correction=0).norm().item() for found in (added, patches)]
    return AttentionUse(
        entropy=entropies.mean().item() / math.log(n_tokens),
        spread=spreads[0] / spreads[1] if spreads[1] else 0.0,
    )


def write_attention_use(file: h5py.File, module: HageModule, data: FoldData) -> None:
    """Puts (entropy, spread) of each test section into a trial's open file; nothing for an encoder without genes."""
    if module.encoder.gene_embeddings is None or len(module.encoder.tokens) < 2:
        return
    for name in data.test.section_names:
        use = attention_use(module.encoder, data.test.features[data.test.rows_of(name)])
        file[f"{GROUP}/{name}"] = np.array([use.entropy, use.spread])


def attention_records(trials: Sequence[Path], *, fold: str, source: str = "hage") -> list[Record]:
    """Records ``attention_entropy`` and ``attention_spread`` of each trial and test section, and their means.

    Args:
        trials: prediction files in the order of trials.
        fold: the held-out unit.
        source: in the results.

    Returns:
        Records; none for encoders without genes.
    """
    records = []
    for number, path in enumerate(trials):
        with open_h5(path) as file:
            uses = {name: tuple(table[...].tolist()) for name, table in file.get(GROUP, {}).items()}
        scores = {name: {"attention_entropy": use[0], "attention_spread": use[1]} for name, use in uses.items()}
        records += section_rows(scores, source=source, fold=fold, trial=number)
    return records + over_trials(records)
