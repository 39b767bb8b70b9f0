"""Cox's partial likelihood, of a set of rows and of one bag before the memory of the others."""

import torch
from jaxtyping import Float
from torch import Tensor


def cox_loss(
    risk: Float[Tensor, "*fold row"], time: Float[Tensor, " row"], event: Float[Tensor, " row"]
) -> Float[Tensor, "*fold"]:
    """Negative log partial likelihood, mean over the events; ties as Breslow's. A risk of -inf is a row not there.

        L = 1 / n_events  sum over events j  ( log sum over k with t_k >= t_j of exp(r_k)  -  r_j )

    Reference: Cox, "Regression models and life-tables", 1972; Breslow, "Covariance analysis of censored survival
    data", 1974.

    Args:
        risk: log of the relative hazard.
        time: of event or censoring.
        event: 1 where it was seen.

    Returns:
        0 where no event is there.
    """
    order = torch.argsort(time, descending=True, stable=True)
    falling = -time[order]
    sorted_risk = risk[..., order]
    last = torch.searchsorted(falling, falling, right=True) - 1  # of those with the same time
    at_risk = sorted_risk.logcumsumexp(dim=-1)[..., last]
    counted = (event[order] > 0) & (sorted_risk > -torch.inf)
    terms = torch.where(counted, at_risk - sorted_risk, 0.0)
    return terms.sum(dim=-1) / counted.sum(dim=-1).clamp(min=1)


def cox_bag_loss(
    risk: Float[Tensor, " fold"],
    bag: int,
    memory: Float[Tensor, "fold bag"],
    time: Float[Tensor, " bag"],
    event: Float[Tensor, " bag"],
) -> Float[Tensor, " fold"]:
    """The partial likelihood of the bags seen so far, as a function of one bag's risk; the others' are remembered.

    Times the number of bags that are there, so that its mean over an epoch has the gradient of ``cox_loss``.

    Args:
        risk: of the bag, by every fold that trains on it.
        bag: its place.
        memory: each fold's last risk of every bag; NaN where it has seen none.
        time: of all bags.
        event: likewise.
    """
    known = torch.where(memory.isnan(), -torch.inf, memory)
    own = torch.arange(memory.shape[1], device=memory.device) == bag
    risks = torch.where(own, risk.unsqueeze(1), known)
    return cox_loss(risks, time, event) * (risks > -torch.inf).sum(dim=1)
