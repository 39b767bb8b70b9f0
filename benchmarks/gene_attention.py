"""A HAGE training step with genes shared by the batch, against the plain form that expands them for every spot.

    python benchmarks/gene_attention.py

Both run in this process, in turn, on the same weights and batch; prints the ratio of their times and how far their
losses and gradients are apart. The plain form is what a line-by-line reading of the paper gives: each spot brings its
own copy of all genes, (batch, gene, d), through the projections, keys and values of torch's attention.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

import torch
from torch import Tensor, nn

from hage_transfer.models.gene_attention import GeneAttention
from hage_transfer.models.gene_informed import GeneInformedEncoder
from pretrain.config import LossSettings, TrainSettings
from pretrain.module import HageModule


class ExpandedAttention(nn.Module):
    """The same weights as a ``GeneAttention``, with genes copied for every patch."""

    def __init__(self, shared: GeneAttention) -> None:
        super().__init__()
        self.shared = shared

    def forward(self, patches: Tensor, genes: Tensor) -> Tensor:
        """Attention of each patch to its own copy of the genes."""
        part = self.shared
        copied = part.project_genes(genes[None].expand(len(patches), -1, -1))  # (batch, gene, d)
        query, key, value = (
            rows.unflatten(-1, (part.n_heads, -1)).transpose(1, 2)
            for rows in (part.query(patches[:, None]), part.key(copied), part.value(copied))
        )
        gathered = nn.functional.scaled_dot_product_attention(query, key, value)
        return part.output(gathered.transpose(1, 2).flatten(2))[:, 0]


def main() -> None:
    """Times both forms and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128, help="spots in a batch")
    parser.add_argument("--genes", type=int, default=771)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of timed steps after one that is not counted")
    options = parser.parse_args()

    torch.manual_seed(0)
    encoder = GeneInformedEncoder(torch.randn(options.genes, 200), feature_dim=options.features)
    module = HageModule(encoder, n_genes=options.genes, loss=LossSettings(), train=TrainSettings())
    batch = (
        torch.randn(options.batch, options.features),
        torch.rand(options.batch, options.genes),
        torch.arange(options.batch) % 60,
        torch.arange(options.batch) % 3,
    )
    optimiser = torch.optim.Adam(module.parameters(), lr=0.0)
    shared, expanded = encoder.attention, ExpandedAttention(encoder.attention)

    def step(attention: nn.Module) -> Callable[[], tuple[Tensor, list[Tensor]]]:
        def run() -> tuple[Tensor, list[Tensor]]:
            encoder.attention = attention
            optimiser.zero_grad()
            loss = module.total(module.terms(*batch))
            loss.backward()
            optimiser.step()
            return loss.detach(), [p.grad.clone() for p in shared.parameters() if p.grad is not None]

        return run

    forms = {"shared": step(shared), "expanded": step(expanded)}
    outcomes = {name: run() for name, run in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.repeats):
        for name, run in forms.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)

    (loss, gradients), (plain_loss, plain_gradients) = outcomes["shared"], outcomes["expanded"]
    ours, plain = (torch.cat([part.flatten() for part in parts]) for parts in (gradients, plain_gradients))
    apart = ((ours - plain).norm() / plain.norm()).item()
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"batch {options.batch}, genes {options.genes}, d 1024, {torch.get_num_threads()} threads")
    print(f"shared   {medians['shared']:8.3f} s a training step (median of {options.repeats})")
    print(f"expanded {medians['expanded']:8.3f} s")
    print(f"ratio    {medians['expanded'] / medians['shared']:8.1f}")
    print(f"losses   {loss.item():.6f} and {plain_loss.item():.6f}; relative difference of the gradients {apart:.1e}")


if __name__ == "__main__":
    main()
