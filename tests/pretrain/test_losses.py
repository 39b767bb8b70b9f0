import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from hage_transfer.pretrain.losses import centroids, clip_loss, cyclip_loss, pcc_loss, pcc_loss_within


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# CyCLIP, Eq. 1


def test_cyclip_equals_eq_1_written_out():
    image, expression = unit(normal(6, 4).numpy()), unit(normal(6, 4, seed=1).numpy())
    total = 0.0
    for j in range(6):
        for k in range(6):
            total += (image[j] @ expression[k] - image[k] @ expression[j]) ** 2
            total += (image[j] @ image[k] - expression[j] @ expression[k]) ** 2
    assert cyclip_loss(normal(6, 4), normal(6, 4, seed=1)).item() == pytest.approx(total / 6)


def test_cyclip_is_zero_where_both_sides_are_equal():
    assert cyclip_loss(normal(6, 4), normal(6, 4)).item() == pytest.approx(0, abs=1e-12)


def test_cyclip_ignores_lengths():
    image, expression = normal(6, 4), normal(6, 4, seed=1)
    assert cyclip_loss(3 * image, expression).item() == pytest.approx(cyclip_loss(image, expression).item())


def test_cyclip_gradient():
    assert torch.autograd.gradcheck(cyclip_loss, (normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()))


def test_cyclip_of_one_spot_is_finite():
    assert math.isfinite(cyclip_loss(normal(1, 4), normal(1, 4, seed=1)).item())


# CLIP


def test_clip_equals_cross_entropies_written_out():
    image, expression = unit(normal(5, 4).numpy()), unit(normal(5, 4, seed=1).numpy())
    logits = image @ expression.T / 0.07
    rows = [logits[i, i] - np.log(np.exp(logits[i]).sum()) for i in range(5)]
    columns = [logits[i, i] - np.log(np.exp(logits[:, i]).sum()) for i in range(5)]
    expected = -(np.mean(rows) + np.mean(columns)) / 2
    assert clip_loss(normal(5, 4), normal(5, 4, seed=1), temperature=0.07).item() == pytest.approx(expected)


def test_clip_is_ln_batch_where_all_embeddings_are_equal():
    same = torch.ones(128, 4, dtype=torch.float64)
    assert clip_loss(same, same, temperature=0.07).item() == pytest.approx(math.log(128))


def test_clip_tends_to_zero_at_a_perfect_match():
    assert clip_loss(torch.eye(8), torch.eye(8), temperature=0.01).item() < 1e-6


def test_clip_is_symmetric_in_its_sides():
    image, expression = normal(5, 4), normal(5, 4, seed=1)
    one, other = (clip_loss(*sides, temperature=0.07) for sides in ((image, expression), (expression, image)))
    assert one.item() == pytest.approx(other.item())


def test_clip_of_one_pair_is_zero():
    assert clip_loss(normal(1, 4), normal(1, 4, seed=1), temperature=0.07).item() == 0


# Centroids


def test_centroids_are_means_by_cluster():
    rows = normal(5, 3)
    found = centroids(rows, torch.tensor([7, 2, 7, 7, 2]))
    torch.testing.assert_close(found, torch.stack([rows[[1, 4]].mean(0), rows[[0, 2, 3]].mean(0)]))


def test_centroids_pass_gradients_to_every_row():
    rows = normal(5, 3).requires_grad_()
    centroids(rows, torch.tensor([0, 0, 1, 1, 1])).sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad[:, 0], torch.tensor([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], dtype=torch.float64))


# PCC, Eq. 2


def test_pcc_equals_scipy():
    predicted, target = normal(20, 3), normal(20, 3, seed=1)
    expected = 1 - np.mean([pearsonr(predicted[:, j], target[:, j]).statistic for j in range(3)])
    assert pcc_loss(predicted, target, eps=0).item() == pytest.approx(expected)


def test_pcc_ignores_scale_and_shift_of_each_gene():
    predicted, target = normal(20, 3), normal(20, 3, seed=1)
    moved = predicted * torch.tensor([0.5, 2.0, 9.0]) + torch.tensor([1.0, -3.0, 0.0])
    assert pcc_loss(moved, target, eps=1e-12).item() == pytest.approx(pcc_loss(predicted, target, eps=1e-12).item())


def test_pcc_is_zero_at_the_optimum_and_two_at_its_opposite():
    target = normal(20, 3)
    assert pcc_loss(target, target, eps=0).item() == pytest.approx(0, abs=1e-12)
    assert pcc_loss(-target, target, eps=0).item() == pytest.approx(2)


def test_pcc_counts_a_constant_gene_as_zero():
    target = normal(20, 2)
    target[:, 1] = 4.0
    assert pcc_loss(target, target).item() == pytest.approx(0.5, abs=1e-6)


def test_pcc_gradient():
    target = normal(6, 2, seed=1)
    assert torch.autograd.gradcheck(lambda predicted: pcc_loss(predicted, target), (normal(6, 2).requires_grad_(),))


def test_pcc_within_equals_pcc_in_one_section():
    predicted, target = normal(20, 3), normal(20, 3, seed=1)
    one_section = torch.zeros(20, dtype=torch.int64)
    assert pcc_loss_within(predicted, target, one_section).item() == pytest.approx(pcc_loss(predicted, target).item())


def test_pcc_within_does_not_reward_differences_between_sections():
    predicted, target = normal(40, 3), normal(40, 3, seed=1)
    sections = torch.arange(40) % 2
    shift = 10.0 * sections[:, None]
    within = pcc_loss_within(predicted, target, sections).item()
    assert pcc_loss_within(predicted + shift, target + shift, sections).item() == pytest.approx(within, rel=1e-4)
    assert pcc_loss(predicted + shift, target + shift).item() < 0.1 < within


def test_pcc_within_leaves_out_a_section_with_one_spot():
    predicted, target = normal(20, 3), normal(20, 3, seed=1)
    sections = torch.zeros(20, dtype=torch.int64)
    sections[7] = 1
    rest = sections == 0
    expected = pcc_loss(predicted[rest], target[rest]).item()
    assert pcc_loss_within(predicted, target, sections).item() == pytest.approx(expected)


def test_pcc_within_lone_spots_is_one_and_differentiable():
    predicted = normal(2, 3).requires_grad_()
    loss = pcc_loss_within(predicted, normal(2, 3, seed=1), torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 1
