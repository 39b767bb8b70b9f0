"""Losses beside Eq. 3, off as in the paper: a likelihood of the counts, and embeddings that tell no section."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

_HIDDEN = 64


class CountLikelihood(nn.Module):
    """Negative binomial of the raw counts, the spot's depth as offset: log mu_ij = log n_i + y_ij + shift_j.

    n_i is the spot's sum of panel counts, y the predictor's output, shift and dispersion each gene's own. Deviation:
    ours; the paper has no likelihood.

    Args:
        n_genes: genes of the panel.
    """

    def __init__(self, n_genes: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.full((n_genes,), -torch.tensor(float(n_genes)).log().item()))
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes))

    def forward(self, predicted: Float[Tensor, "batch gene"], counts: Float[Tensor, "batch gene"]) -> Float[Tensor, ""]:
        """Mean negative log likelihood of an entry.

        >>> loss = CountLikelihood(1)  # mu 1, dispersion 1: geometric, P(1) = 1/4
        >>> round(loss(torch.zeros(1, 1), torch.ones(1, 1)).exp().item(), 4)
        4.0
        """
        log_mu = counts.sum(1, keepdim=True).clamp(min=1).log() + predicted + self.shift
        size = self.log_dispersion.exp()
        log_total = torch.logaddexp(log_mu, self.log_dispersion)
        likelihood = (
            torch.lgamma(counts + size)
            - torch.lgamma(size)
            - torch.lgamma(counts + 1)
            + size * (self.log_dispersion - log_total)
            + counts * (log_mu - log_total)
        )
        return -likelihood.mean()


class SectionReversal(nn.Module):
    """A classifier of the section from embeddings, whose gradient reaches these reversed (Ganin et al. 2016).

    The classifier learns to tell sections apart, the embeddings to give it nothing to tell them by. Deviation: ours.

    Args:
        embed_dim: width of the embeddings.
        n_sections: training sections.
    """

    def __init__(self, embed_dim: int, *, n_sections: int) -> None:
        super().__init__()
        self.guess = nn.Sequential(nn.Linear(embed_dim, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, n_sections))

    def forward(self, embeddings: Float[Tensor, "batch embed"], section: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Cross-entropy of the guess; ln(sections) where nothing is told."""
        reversed_ = 2 * embeddings.detach() - embeddings  # the same numbers, minus one times the gradient
        return functional.cross_entropy(self.guess(reversed_), section)
