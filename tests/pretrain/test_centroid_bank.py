import torch

from hage_transfer.pretrain.centroid_bank import CentroidBank
from hage_transfer.pretrain.losses import centroids, clip_loss

CLUSTERS = torch.tensor([0, 0, 2, 2, 2, 5, 5, 0, 2, 5])  # 1, 3 and 4 are empty


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(image: torch.Tensor, expression: torch.Tensor) -> CentroidBank:
    bank = CentroidBank(CLUSTERS, embed_dim=image.shape[1])
    for spots in (torch.tensor([3, 1, 4, 8]), torch.tensor([0, 2, 5, 6, 7, 9])):
        bank.store(spots, image[spots], expression[spots])
    return bank


def test_a_fresh_bank_gives_value_and_gradient_of_the_whole_split_restricted_to_the_batch():
    image, expression = normal(10, 4, seed=0).requires_grad_(), normal(10, 4, seed=1).requires_grad_()
    whole = clip_loss(centroids(image, CLUSTERS), centroids(expression, CLUSTERS), temperature=0.07)
    wanted = torch.autograd.grad(whole, (image, expression))
    spots = torch.tensor([7, 2, 5, 0])
    rows = image.detach()[spots].requires_grad_(), expression.detach()[spots].requires_grad_()
    loss = clip_loss(*filled(image.detach(), expression.detach())(spots, *rows), temperature=0.07)
    torch.testing.assert_close(loss, whole)
    for found, gradient in zip(torch.autograd.grad(loss, rows), wanted, strict=True):
        assert gradient[spots].abs().max() > 1e-3
        torch.testing.assert_close(found, gradient[spots], rtol=1e-4, atol=1e-6)


def test_the_batch_takes_the_place_of_what_was_stored_for_its_spots():
    image, expression = normal(10, 4, seed=0), normal(10, 4, seed=1)
    bank, spots = filled(image, expression), torch.tensor([1, 9])
    moved = image.clone()
    moved[spots] += 3
    found, _ = bank(spots, moved[spots], expression[spots])
    torch.testing.assert_close(found, centroids(moved, CLUSTERS))
    again, _ = bank(torch.tensor([4]), image[[4]], expression[[4]])
    torch.testing.assert_close(again, centroids(image, CLUSTERS))  # asking alone stores nothing


def test_clusters_without_a_spot_and_spots_not_seen_are_left_out():
    image, expression = normal(10, 4, seed=0), normal(10, 4, seed=1)
    bank = CentroidBank(CLUSTERS, embed_dim=4)
    bank.store(torch.tensor([0, 2]), image[[0, 2]], expression[[0, 2]])
    found, _ = bank(torch.tensor([7]), image[[7]], expression[[7]])
    torch.testing.assert_close(found, torch.stack([image[[0, 7]].mean(0), image[2]]))


def test_sums_follow_the_rows_over_many_steps():
    bank = CentroidBank(CLUSTERS, embed_dim=4)
    for step in range(50):
        spots = torch.randperm(10, generator=torch.Generator().manual_seed(step))[:3]
        bank.store(spots, normal(3, 4, seed=step), normal(3, 4, seed=step + 100))
    followed = bank.sums.clone()
    bank.add_up()
    torch.testing.assert_close(followed, bank.sums, rtol=1e-4, atol=1e-5)
    assert bank.counts.tolist() == [3, 0, 4, 0, 0, 3]


def test_a_bank_leaves_nothing_in_the_weights():
    assert not filled(normal(10, 4, seed=0), normal(10, 4, seed=1)).state_dict()
