"""Slides to features by TIAToolbox, with its own tissue and tiles; run by slides_to_features.py in its environment."""

import shutil
import time
from pathlib import Path

import numpy as np
import torch
from peer_encoder import EmbeddedModule, answer, task
from tiatoolbox.models import DeepFeatureExtractor
from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
from tiatoolbox.models.models_abc import ModelABC
from tiatoolbox.tools.patchextraction import PatchExtractor
from tiatoolbox.wsicore.wsireader import WSIReader


class Model(ModelABC):
    """The encoder in TIAToolbox's form."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.embedded = EmbeddedModule(weights)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of a batch."""
        return self.embedded(pixels)

    @staticmethod
    def infer_batch(model: torch.nn.Module, batch_data: torch.Tensor, *, device: str) -> list[np.ndarray]:
        """Features of a batch of RGB tiles."""
        pixels = batch_data.to(device).permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)
        with torch.inference_mode():
            return [model(pixels).cpu().numpy()]


def main() -> None:
    """Times tissue and tiles, then all from slide to features, over all slides."""
    asked = task()
    shape, size = [asked["tile_px"]] * 2, {"units": "mpp", "resolution": asked["mpp"]}
    tissue_seconds = tissue_cpu_seconds = feature_seconds = cpu_seconds = 0.0
    tiles = 0
    for path in asked["slides"]:
        start, cpu = time.perf_counter(), time.process_time()
        reader = WSIReader.open(path)
        mask = reader.tissue_mask(method="morphological", resolution=8.0, units="mpp")
        bounds = PatchExtractor.get_coordinates(
            patch_output_shape=shape,
            image_shape=reader.slide_dimensions(**size),
            patch_input_shape=shape,
            stride_shape=shape,
        )[0]
        kept = PatchExtractor.filter_coordinates(
            mask, bounds, wsi_shape=reader.slide_dimensions(**size), min_mask_ratio=0.25
        )
        tissue_seconds += time.perf_counter() - start
        tissue_cpu_seconds += time.process_time() - cpu
        tiles += int(kept.sum())
    if asked["encode"]:
        out = Path(asked["out"]) / "tiatoolbox"
        shutil.rmtree(out, ignore_errors=True)
        engine = DeepFeatureExtractor(
            Model(Path(asked["weights"])), batch_size=asked["batch"], num_workers=asked["workers"], verbose=False
        )
        config = IOPatchPredictorConfig(
            input_resolutions=[size], output_resolutions=[size], patch_input_shape=shape, stride_shape=shape
        )
        start, cpu = time.perf_counter(), time.process_time()
        written = engine.run(
            [Path(path) for path in asked["slides"]],
            patch_mode=False,
            ioconfig=config,
            save_dir=out,
            output_type="zarr",
            device="cpu",
        )
        feature_seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        import zarr

        paths = written.values() if isinstance(written, dict) else written
        tiles = sum(zarr.open(str(path), mode="r")["coordinates"].shape[0] for path in paths)
    answer(
        tissue_seconds=tissue_seconds,
        tissue_cpu_seconds=tissue_cpu_seconds,
        feature_seconds=feature_seconds,
        cpu_seconds=cpu_seconds,
        tiles=tiles,
    )


if __name__ == "__main__":
    main()
