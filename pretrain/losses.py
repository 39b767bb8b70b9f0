"""The losses of HAGE: CyCLIP (Eq. 1), CLIP on pairs and on centroids, PCC (Eq. 2); ``module.py`` sums them (Eq. 3)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def cyclip_loss(image: Float[Tensor, "batch embed"], expression: Float[Tensor, "batch embed"]) -> Float[Tensor, ""]:
    """CyCLIP: cross-modal and in-modal consistency of similarities.

    Products are of L2-normalised embeddings (Goel et al. 2022). 0 where both sides are equal.

    Reference: HAGE, Eq. 1: L = 1/N sum_jk (<zi_j, ze_k> - <zi_k, ze_j>)^2 + 1/N sum_jk (<zi_j, zi_k> - <ze_j, ze_k>)^2.
    The sums run over N x N pairs and are divided by N, as printed.

    >>> image, expression = torch.eye(3), torch.eye(3)
    >>> cyclip_loss(image, expression).item()
    0.0
    """
    image, expression = functional.normalize(image, dim=1), functional.normalize(expression, dim=1)
    cross = image @ expression.T
    within = image @ image.T - expression @ expression.T
    return ((cross - cross.T).square().sum() + within.square().sum()) / len(image)


def clip_loss(
    image: Float[Tensor, "batch embed"], expression: Float[Tensor, "batch embed"], *, temperature: float
) -> Float[Tensor, ""]:
    """Symmetric cross-entropy of picking the partner among the batch; ln(batch) at chance.

    Reference: Radford et al. 2021; HAGE fixes the temperature at 0.07.

    >>> same = torch.ones(8, 4)  # nothing tells the pairs apart: at chance, ln(8)
    >>> round(clip_loss(same, same, temperature=0.07).item(), 4)
    2.0794
    """
    return pair_loss(functional.normalize(image, dim=1) @ functional.normalize(expression, dim=1).T / temperature)


def pair_loss(logits: Float[Tensor, "batch batch"]) -> Float[Tensor, ""]:
    """Cross-entropy of picking the partner on the diagonal, by rows and by columns, halved.

    >>> round(pair_loss(torch.zeros(4, 4)).item(), 4)  # at chance, ln(4)
    1.3863
    """
    partner = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner)) / 2


def centroids(rows: Float[Tensor, "batch embed"], clusters: Int[Tensor, " batch"]) -> Float[Tensor, "cluster embed"]:
    """Mean of the rows of each cluster that occurs, in ascending order of cluster (HAGE section 2.3).

    >>> centroids(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 7])).flatten().tolist()
    [2.0, 5.0]
    """
    _, position, sizes = torch.unique(clusters, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(sizes), rows.shape[1], dtype=rows.dtype, device=rows.device).index_add(0, position, rows)
    return sums / sizes[:, None]


def pcc_loss(
    predicted: Float[Tensor, "batch gene"], target: Float[Tensor, "batch gene"], *, eps: float = 1e-6
) -> Float[Tensor, ""]:
    """One minus the mean over genes of the Pearson correlation over the batch's spots.

    Reference: HAGE, Eq. 2, with eps inside each square root. A gene that is constant in the batch counts as 0.

    >>> target = torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(pcc_loss(10 * target + 3, target).item(), 4), round(pcc_loss(-target, target).item(), 4)
    (0.0, 2.0)
    """
    predicted, target = predicted - predicted.mean(0), target - target.mean(0)
    norms = (predicted.square().sum(0) + eps).sqrt() * (target.square().sum(0) + eps).sqrt()
    return 1 - ((predicted * target).sum(0) / norms).mean()


def pcc_loss_within(
    predicted: Float[Tensor, "batch gene"],
    target: Float[Tensor, "batch gene"],
    sections: Int[Tensor, " batch"],
    *,
    eps: float = 1e-6,
) -> Float[Tensor, ""]:
    """Eq. 2 inside each section of the batch, averaged by their numbers of spots; sections with one spot are left out.

    Deviation: the paper takes Eq. 2 over the batch, where differences between sections (staining, depth) are rewarded
    that the evaluation, which is per section, does not see.

    >>> target = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> round(pcc_loss_within(-target, target, torch.tensor([0, 0, 1, 1])).item(), 4)
    2.0
    """
    together = (sections[:, None] == sections).to(
        predicted.dtype
    )  # no list of sections: the host need not wait for one
    sizes = together.sum(1, keepdim=True)
    predicted, target = predicted - together @ predicted / sizes, target - together @ target / sizes
    norms = (together @ predicted.square() + eps).sqrt() * (together @ target.square() + eps).sqrt()
    of_spots = 1 - ((together @ (predicted * target)) / norms).mean(1)
    counted = (sizes[:, 0] > 1).to(predicted.dtype)
    return torch.where(counted.any(), (of_spots * counted).sum() / counted.sum().clamp(min=1), 1.0)
