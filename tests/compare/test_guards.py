"""What a comparison is warned of: training patients among its own, and pixels of another size."""

from dataclasses import asdict

import numpy as np
import pytest

from hage_transfer.compare.guards import guard_warnings, scale_fault
from hage_transfer.data.feature_file import FeatureMeta, read_meta, write_features
from hage_transfer.data.labels import LabelTable


def meta(mpp=0.5, **trained):
    return FeatureMeta(
        source="set",
        encoder="hage:e",
        encoder_sha256="a" * 64,
        encoder_licence="Apache-2.0",
        patch_size_px=224,
        patch_size_level0_px=224,
        mpp_um_per_px=mpp,
        precision="float32",
        config_sha256="settings",
        **trained,
    )


def table(groups=None, keys=("x/s1.svs", "s2", "s3#0_0")):
    return LabelTable(
        keys=np.array(keys), labels=np.array(["a", "b", "a"]), groups=None if groups is None else np.array(groups)
    )


@pytest.mark.parametrize(
    ("met", "trained", "warned"),
    [(0.5, 0.5, False), (0.5, 0.54, False), (0.5, 1.0, True), (1.0, 0.5, True), (None, 0.5, False), (0.5, None, False)],
)
def test_another_resolution_is_told_past_a_tenth(met, trained, warned):
    assert (scale_fault(meta(met), trained, encoder="e") is not None) == warned
    found = guard_warnings({"hage": [asdict(meta(met, trained_um_per_px=trained))]}, table())
    assert bool(found) == warned


@pytest.mark.parametrize(
    ("groups", "trained", "named"),
    [
        (["A", "P7", "P8"], "P7\nC4", "P7"),
        (None, "s1", "s1"),
        (None, "s3", "s3"),
        (["A", "B", "C"], "P7", None),
        (["A", "B", "C"], "", None),
    ],
)
def test_training_patients_among_groups_slides_and_images_are_told(groups, trained, named):
    files = [{**asdict(meta(trained_on=trained)), "path": "features.h5"}] * 2
    found = guard_warnings({"frozen": [asdict(meta())], "hage": files}, table(groups))
    assert len(found) == (named is not None)
    if named is not None:
        assert named in found[0]
        assert "hage" in found[0]


def test_feature_files_keep_what_trained_their_encoder(tmp_path):
    own = meta(trained_um_per_px=0.7, trained_on="P1\nA1")
    write_features(tmp_path / "a.h5", np.ones((1, 2), np.float32), own, keys=["k"])
    assert read_meta(tmp_path / "a.h5") == own
