"""The embedded encoder as a plain torch module, for programs with a pipeline of their own; run in their environment."""

import json
import os
import resource
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from hage_transfer.encoders.embedded import network, stage_statistics
from hage_transfer.encoders.weights import local_weights


class EmbeddedModule(nn.Module):
    """Normalised pixels to 352 numbers, with the weights, folding and memory layout of this project's own encoder."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = network(local_weights(weights)).to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of a batch."""
        return stage_statistics(self.network, pixels.contiguous(memory_format=torch.channels_last))


def task() -> dict:
    """What the benchmark asks for: slides, weights, mpp, tile_px, batch, workers, out."""
    return json.loads(sys.argv[1])


def answer(**facts: object) -> None:
    """Tells the benchmark what was measured, as the last line of standard output."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.flush()
    os.write(1, ("\n" + json.dumps({**facts, "peak_mb": peak_mb}) + "\n").encode())
