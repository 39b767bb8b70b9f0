import numpy as np
import torch
from scipy.stats import nbinom

from hage_transfer.pretrain.methods.zinb import zinb_nll


def test_zinb_nll_equals_scipys_mixture():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, size=(30, 7)).astype(float)
    mean, dispersion = rng.uniform(0.1, 9, size=(2, 30, 7))
    logits = rng.normal(size=(30, 7))
    pi = 1 / (1 + np.exp(-logits))
    likelihood = (1 - pi) * nbinom.pmf(counts, dispersion, dispersion / (dispersion + mean)) + pi * (counts == 0)
    nll = zinb_nll(
        torch.tensor(counts),
        mean=torch.tensor(mean),
        dispersion=torch.tensor(dispersion),
        dropout_logits=torch.tensor(logits),
    )
    np.testing.assert_allclose(nll.numpy(), -np.log(likelihood), rtol=1e-9)


def test_zinb_probabilities_of_all_counts_sum_to_one():
    counts = torch.arange(2000, dtype=torch.float64)
    ones = torch.ones_like(counts)
    nll = zinb_nll(counts, mean=5 * ones, dispersion=0.7 * ones, dropout_logits=-ones)
    assert torch.exp(-nll).sum().item() == 1 or abs(torch.exp(-nll).sum().item() - 1) < 1e-9


def test_zinb_gradients_are_finite_at_the_ends_of_the_parameters():
    counts = torch.tensor([0.0, 0.0, 5000.0, 1.0])
    mean = torch.tensor([1e-8, 1e6, 1e-8, 1e6], requires_grad=True)
    dispersion = torch.tensor([1e-4, 1e4, 1e4, 1e-4], requires_grad=True)
    logits = torch.tensor([-80.0, 80.0, 80.0, -80.0], requires_grad=True)
    nll = zinb_nll(counts, mean=mean, dispersion=dispersion, dropout_logits=logits)
    nll.sum().backward()
    assert torch.isfinite(nll).all()
    assert all(torch.isfinite(part.grad).all() for part in (mean, dispersion, logits))
