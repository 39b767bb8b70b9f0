"""Zero-inflated negative binomial: the likelihood of raw counts that Hist2ST adds to its squared error."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def zinb_nll(
    counts: Float[Tensor, "*spot gene"],
    *,
    mean: Float[Tensor, "*spot gene"],
    dispersion: Float[Tensor, "*spot gene"],
    dropout_logits: Float[Tensor, "*spot gene"],
) -> Float[Tensor, "*spot gene"]:
    """Negative log-likelihood of each count.

    Args:
        counts: raw counts.
        mean: mu > 0 of the negative binomial.
        dispersion: theta > 0; the variance is mu + mu^2 / theta.
        dropout_logits: logit of pi, the probability of a structural zero.

    Returns:
        -log(pi [y = 0] + (1 - pi) NB(y; mu, theta)), computed in logarithms throughout.

    Reference: Hist2ST (Zeng et al. 2022), ZINB loss; Eraslan et al. 2019.
    """
    log_theta_share = torch.log(dispersion) - torch.log(dispersion + mean)
    log_mean_share = torch.log(mean) - torch.log(dispersion + mean)
    log_choose = torch.lgamma(counts + dispersion) - torch.lgamma(dispersion) - torch.lgamma(counts + 1)
    log_nb = log_choose + dispersion * log_theta_share + counts * log_mean_share
    log_dropout, log_kept = functional.logsigmoid(dropout_logits), functional.logsigmoid(-dropout_logits)
    log_zero = torch.logaddexp(log_dropout, log_kept + dispersion * log_theta_share)
    return -torch.where(counts == 0, log_zero, log_kept + log_nb)
