"""Time and memory of an adapted image encoder, forward and backward on one thread: `python benchmarks/lora_cost.py`.

Prints milliseconds of processor time an image and the process's peak memory, for pieces of 4 (as on a CPU) and of 16.
"""

import argparse
import resource
import time

import numpy as np
import torch

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders.adapter import torch_network
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.pretrain.adapted_images import AdaptedImages
from hage_transfer.pretrain.image_settings import ImageEncoderSettings


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=64)
    images = parser.parse_args().images
    torch.set_num_threads(1)
    batch = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (images, 224, 224, 3), dtype=np.uint8))
    for piece in (4, 16):
        encoder = torch_network(load_encoder(EncoderSettings(name="embedded", runtime="torch"), device="cpu"))
        encoder.images_per_call = piece
        adapted = AdaptedImages(encoder, ImageEncoderSettings()).train()
        start = time.process_time()
        features = adapted(batch)
        middle = time.process_time()
        features.square().sum().backward()
        forward, backward = (1e3 * part / images for part in (middle - start, time.process_time() - middle))
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        n_trained = sum(one.numel() for one in adapted.parameters() if one.requires_grad)
        print(
            f"pieces of {piece}: {forward:.1f} ms forward, {backward:.1f} ms backward an image, peak {peak_mib} MiB, "
            f"{n_trained} trained numbers"
        )


if __name__ == "__main__":
    main()
