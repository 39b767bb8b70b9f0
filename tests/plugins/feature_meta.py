"""What a made-up feature file says of itself, where a test means only some of it."""

from typing import Any

from hage_transfer.data.feature_file import FeatureMeta


def feature_meta(source: str, **changes: Any) -> FeatureMeta:
    """Facts of a feature file of the embedded encoder, with what the test means changed."""
    made: dict[str, Any] = {
        "encoder": "embedded",
        "encoder_sha256": "a" * 64,
        "encoder_licence": "Apache-2.0",
        "patch_size_px": 224,
        "patch_size_level0_px": 224,
        "mpp_um_per_px": 0.5,
        "precision": "float32",
        "config_sha256": "settings",
    }
    return FeatureMeta(source=source, **{**made, **changes})
