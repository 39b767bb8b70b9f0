"""Slides to features by lazyslide, with its own tissue and tiles; run by slides_to_features.py in its environment."""

import time
from pathlib import Path

import lazyslide
import torch
from peer_encoder import EmbeddedModule, answer, task
from wsidata import open_wsi


def main() -> None:
    """Times tissue and tiles, then features, over all slides."""
    asked = task()
    module = EmbeddedModule(Path(asked["weights"])).eval()
    mean = torch.full((3, 1, 1), 127.5)

    def transform(image: object) -> torch.Tensor:
        return (torch.as_tensor(image).permute(2, 0, 1).float() - mean) / mean

    tissue_seconds = tissue_cpu_seconds = feature_seconds = 0.0
    tiles, cpu = 0, time.process_time()
    for path in asked["slides"]:
        start, tissue_cpu = time.perf_counter(), time.process_time()
        slide = open_wsi(path)
        lazyslide.pp.find_tissues(slide)
        lazyslide.pp.tile_tissues(slide, asked["tile_px"], mpp=asked["mpp"])
        found = time.perf_counter()
        tissue_seconds += found - start
        tissue_cpu_seconds += time.process_time() - tissue_cpu
        if asked["encode"]:
            lazyslide.tl.feature_extraction(
                slide,
                module,
                model_name="embedded",
                transform=transform,
                batch_size=asked["batch"],
                num_workers=asked["workers"],
                device="cpu",
                pbar=False,
            )
            feature_seconds += time.perf_counter() - found
        tiles += len(slide["tiles"])
    answer(
        tissue_seconds=tissue_seconds,
        tissue_cpu_seconds=tissue_cpu_seconds,
        feature_seconds=feature_seconds,
        cpu_seconds=time.process_time() - cpu,
        tiles=tiles,
    )


if __name__ == "__main__":
    main()
