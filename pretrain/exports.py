"""Encoder directories that a trial leaves for transfer besides its plain one: the frozen kept beside, or whitened."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from hage_transfer.models.derived import DerivedEncoder, Export
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.model_card import is_control, made_by
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.linear_maps import standardised, whitened

_ABOUT: Mapping[Export, str] = {
    "residual": "the frozen features kept beside its gene-informed embeddings, every number standardised over the "
    "training spots and the embeddings weighed as much as the features",
    "whitened": "principal components of its gene-informed embeddings, of unit variance over the training spots",
}


def write_exports(
    folder: Path, encoder: GeneInformedEncoder, data: FoldData, exports: Sequence[Export], *, card: Mapping[str, Any]
) -> None:
    """Writes ``encoders_<export>/<fold>/trial_<k>`` beside ``encoders/<fold>/trial_<k>``; of a control likewise.

    Args:
        folder: the plain encoder directory.
        encoder: on the CPU, in eval mode.
        data: the fold it was trained on.
        exports: which.
        card: of the plain directory.
    """
    kind = folder.parents[1]
    for name in exports:
        who = f"Control `{made_by(card)}`" if is_control(card) else "A gene-informed encoder (HAGE)"
        about = {"about": f"{who}: {_ABOUT[name]}.", "export": name}
        if is_control(card):
            about["made_by"] = f"{made_by(card)}_{name}"
        target = kind.with_name(f"{kind.name}_{name}") / folder.parent.name / folder.name
        derive(encoder, np.asarray(data.train.features), name).save_pretrained(target, card={**card, **about})


@torch.no_grad()
def derive(
    encoder: GeneInformedEncoder, features: Float32[np.ndarray, "spot feature"], export: Export
) -> DerivedEncoder:
    """The encoder with what an export adds, fitted on the training spots.

    In ``residual`` the embeddings' block is scaled to the total variance of the features' block, so that a classifier
    that does not standardise (a bag classifier) hears both alike.
    """
    embeddings = encoder(torch.from_numpy(features)).numpy()
    if export == "whitened":
        asked_by = f"export {export}", "model.exports=[]"
        return DerivedEncoder(encoder, whitened(embeddings, width=encoder.embed_dim, asked_by=asked_by)).eval()
    head, kept = standardised(embeddings), standardised(features)
    share = (features.shape[1] / embeddings.shape[1]) ** 0.5
    return DerivedEncoder(encoder, LinearEncoder(share * head.weight, mean=head.mean), kept).eval()
