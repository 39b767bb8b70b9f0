"""Losses beside Eq. 3: a likelihood that is SciPy's, and a gradient that is turned round."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom
from torch.nn import functional

from hage_transfer.pretrain.side_losses import CountLikelihood, SectionReversal


def test_the_likelihood_is_that_of_scipys_negative_binomial():
    rng = np.random.default_rng(0)
    counts, rate = rng.poisson(3, (7, 4)), rng.normal(size=(7, 4))
    loss = CountLikelihood(4)
    with torch.no_grad():
        loss.log_dispersion.copy_(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
        loss.shift.copy_(torch.tensor([-2.0, -1.0, 0.0, 0.5]))
    size, shift = loss.log_dispersion.exp().detach().numpy(), loss.shift.detach().numpy()
    mu = np.exp(np.log(counts.sum(1, keepdims=True)) + rate + shift)
    wanted = -nbinom.logpmf(counts, size, size / (size + mu)).mean()
    found = loss(torch.from_numpy(rate).float(), torch.from_numpy(counts).float())
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_a_spot_twice_as_deep_of_the_same_shares_has_the_same_best_rate():
    shallow = torch.tensor([[2.0, 6.0]])
    best = []
    for counts in (shallow, 2 * shallow):
        rate = torch.zeros(1, 2, requires_grad=True)
        loss = CountLikelihood(2)
        optimiser = torch.optim.LBFGS([rate], max_iter=50)
        optimiser.step(lambda: _backward(optimiser, loss(rate, counts)))  # noqa: B023 (called at once)
        best.append((rate + loss.shift).exp().detach())
    torch.testing.assert_close(best[0], best[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(best[0], torch.tensor([[0.25, 0.75]]), rtol=1e-3, atol=1e-4)


def _backward(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> torch.Tensor:
    optimiser.zero_grad()
    loss.backward()
    return loss


def test_a_spot_without_counts_has_a_finite_likelihood():
    assert CountLikelihood(3)(torch.zeros(2, 3), torch.zeros(2, 3)).isfinite()


def test_the_gradient_in_the_embeddings_is_reversed_and_the_classifiers_is_not():
    torch.manual_seed(0)
    reversal, section = SectionReversal(6, n_sections=3), torch.tensor([0, 1, 2, 1])
    embeddings = torch.randn(4, 6, requires_grad=True)
    found = reversal(embeddings, section)
    ours = torch.autograd.grad(found, [embeddings, *reversal.parameters()])
    plain = functional.cross_entropy(reversal.guess(embeddings), section)
    wanted = torch.autograd.grad(plain, [embeddings, *reversal.parameters()])
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(ours[0], -wanted[0])
    torch.testing.assert_close(ours[1:], wanted[1:])
