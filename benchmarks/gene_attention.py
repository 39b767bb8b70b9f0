"""A HAGE training step with genes shared by the batch, against the plain form that expands them for every spot.

    python benchmarks/gene_attention.py

Both run in this process, in turn, on the same weights and batch; prints the ratio of their times and how far their
losses and gradients are apart. The plain form is what a line-by-line reading of the paper gives: each spot brings its
own copy of all genes, (batch, gene, d), through ``torch.nn.MultiheadAttention``.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

import kept
import torch
from torch import Tensor, nn

from hage_transfer.models.gene_attention import GeneAttention
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.spot_batches import Batch


class ExpandedAttention(nn.Module):
    """The same weights as a ``GeneAttention`` in torch's own attention, with genes copied for every patch."""

    def __init__(self, shared: GeneAttention) -> None:
        super().__init__()
        width = shared.query.in_features
        self.project_genes = shared.project_genes
        self.attention = nn.MultiheadAttention(width, shared.n_heads, batch_first=True)
        parts = shared.query, shared.key, shared.value
        self.attention.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
        self.attention.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
        self.attention.out_proj = shared.output

    def forward(self, patches: Tensor, genes: Tensor) -> Tensor:
        """Attention of each patch to its own copy of the genes."""
        copied = self.project_genes(genes.expand(len(patches), -1, -1))  # (batch, gene, d)
        return self.attention(patches[:, None], copied, copied)[0][:, 0]

    def gradients(self) -> list[Tensor]:
        """In the order of ``shared_gradients``."""
        stacked = self.attention.in_proj_weight.grad, self.attention.in_proj_bias.grad
        return [self.project_genes.weight.grad, *stacked, *(p.grad for p in self.attention.out_proj.parameters())]


def shared_gradients(shared: GeneAttention) -> list[Tensor]:
    """Gradients with query, key and value stacked as torch's attention stacks them."""
    parts = shared.query, shared.key, shared.value
    stacked = torch.cat([part.weight.grad for part in parts]), torch.cat([part.bias.grad for part in parts])
    return [shared.project_genes.weight.grad, *stacked, *(p.grad for p in shared.output.parameters())]


def main() -> None:
    """Times both forms and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256, help="spots in a batch")
    parser.add_argument("--genes", type=int, default=771)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of timed steps after one that is not counted")
    options = parser.parse_args()

    torch.manual_seed(0)
    encoder = GeneInformedEncoder(torch.randn(options.genes, 200), feature_dim=options.features)
    module = HageModule(encoder, n_genes=options.genes, loss=LossSettings(), train=TrainSettings())
    spots = torch.arange(options.batch)
    features, target = torch.randn(options.batch, options.features), torch.rand(options.batch, options.genes)
    batch = Batch(features, target, cluster=spots % 60, section=spots % 3, spot=spots)
    shared = encoder.attention
    expanded = ExpandedAttention(shared)

    def step(attention: nn.Module, gradients: Callable[[], list[Tensor]]) -> Callable[[], tuple[Tensor, Tensor]]:
        encoder.attention = attention
        optimiser = module.configure_optimizers()["optimizer"]
        for group in optimiser.param_groups:
            group["lr"] = 0.0  # the same weights for every step

        def run() -> tuple[Tensor, Tensor]:
            encoder.attention = attention
            optimiser.zero_grad()
            loss = module.total(module.terms(module.embed(batch)))
            loss.backward()
            optimiser.step()
            return loss.detach(), torch.cat([part.flatten() for part in gradients()])

        return run

    forms = {"shared": step(shared, lambda: shared_gradients(shared)), "expanded": step(expanded, expanded.gradients)}
    outcomes = {name: run() for name, run in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.repeats):
        for name, run in forms.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)

    (loss, ours), (plain_loss, plain) = outcomes["shared"], outcomes["expanded"]
    apart = ((ours - plain).norm() / plain.norm()).item()
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"batch {options.batch}, genes {options.genes}, d 1024, {torch.get_num_threads()} threads")
    print(f"shared   {medians['shared']:8.3f} s a training step (median of {options.repeats})")
    print(f"expanded {medians['expanded']:8.3f} s")
    print(f"ratio    {medians['expanded'] / medians['shared']:8.1f}")
    print(f"losses   {loss.item():.6f} and {plain_loss.item():.6f}; relative difference of the gradients {apart:.1e}")
    kept.keep(
        "gene_attention",
        [theirs / own for theirs, own in zip(times["expanded"], times["shared"], strict=True)],
        what="a training step, genes shared by the batch, is so many times faster than with genes expanded",
        setting=f"batch {options.batch}, {options.genes} genes, {torch.get_num_threads()} threads",
    )


if __name__ == "__main__":
    main()
