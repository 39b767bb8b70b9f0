"""ONNX files as frozen encoders: what is computed, what is refused, what is stamped."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

import hage_transfer as ht
from hage_transfer.cli.main import run as hage
from hage_transfer.config import EncoderSettings
from hage_transfer.encoders.registry import find_weights, load_encoder
from hage_transfer.errors import WeightsError

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

SPEC = importlib.util.spec_from_file_location("onnx_files", Path(__file__).with_name("onnx_files.py"))
FILES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(FILES)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
HOW = {"input_px": 8, "mean": [0.5, 0.4, 0.3], "std": [0.5, 1, 2]}


def encoder(path, **transform):
    return load_encoder(EncoderSettings(name=str(path), transform=HOW | transform), device="cpu")


def wanted(images):
    colour = images.reshape(len(images), -1, 3).mean(1) / 255
    return (colour - HOW["mean"]) / HOW["std"] @ WEIGHTS


@pytest.mark.parametrize(
    "form",
    [{}, {"batch": 1}, {"side": 8}, {"channels_last": True}, {"kind": FILES.FLOAT16}],
    ids=["any batch", "one image", "fixed side", "channels last", "float16"],
)
def test_onnx_file_gives_the_rows_of_its_network(tmp_path, form):
    path = FILES.write_linear(tmp_path / "mean.onnx", WEIGHTS, **form)
    made = encoder(path)
    half = form.get("kind") == FILES.FLOAT16
    np.testing.assert_allclose(made(IMAGES), wanted(IMAGES), rtol=1e-4, atol=2e-2 if half else 1e-5)
    assert made(IMAGES).dtype == np.float32
    assert (made.name, made.width, made.input_px, made.licence) == ("mean.onnx", 5, 8, "unknown")
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_onnx_file_is_given_images_of_its_side(tmp_path):
    made = encoder(FILES.write_linear(tmp_path / "mean.onnx", WEIGHTS, side=4), input_px=4, resize_px=8)
    np.testing.assert_allclose(made(IMAGES), wanted(IMAGES[:, 2:6, 2:6]), rtol=1e-4, atol=1e-5)  # the centre alone


def test_onnx_file_of_two_outputs_gives_the_named_one(tmp_path):
    path = FILES.write_linear(tmp_path / "two.onnx", WEIGHTS, two_outputs=True)
    assert encoder(path, output="colour").width == 3
    with pytest.raises(WeightsError, match="puts out features, colour; set `output`"):
        encoder(path)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"batch": 4}, "takes 4 images at a time; export it with a batch axis"),
        ({"side": 16}, r"takes images of \[16, 16\] px, and the transform's input_px is 8"),
        ({"kind": FILES.UINT8}, "is no ONNX model that ONNX Runtime"),
        ({"opset": 99}, "is no ONNX model that ONNX Runtime .*opset"),
        ({"mixes_batch": True}, "depends on the images beside it; export the network in eval mode"),
        ({"external": "w.bin"}, "its weights are in another file"),
    ],
)
def test_onnx_file_that_is_not_right_is_one_message(tmp_path, monkeypatch, capfd, form, message):
    monkeypatch.chdir(tmp_path)
    path = FILES.write_linear(tmp_path / "odd.onnx", WEIGHTS, **form)
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())  # there, beside it and in the folder of the process
    with pytest.raises(WeightsError, match=rf"odd\.onnx: .*{message}"):
        encoder(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"not a model", os.urandom(300)])
def test_onnx_file_of_other_bytes_is_refused(tmp_path, content):
    (tmp_path / "odd.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"odd\.onnx: is no ONNX model"):
        encoder(tmp_path / "odd.onnx")


@pytest.mark.parametrize(
    ("beside", "settings", "message"),
    [
        (None, {}, "mean and std are not known and are not guessed; write .*mean.json with"),
        ("{", {}, "mean.json: no transform of"),
        (json.dumps(HOW | {"men": 1}), {}, r"mean.json: .*unknown key men \(nearest valid key: mean\)"),
        (json.dumps({"input_px": 8, "mean": HOW["mean"]}), {}, "mean.json: .*std is missing"),
        (json.dumps(HOW | {"std": [0, 1, 1]}), {}, "mean.json: .*std"),
        (json.dumps(HOW), {"precision": "float16"}, "leave encoder.precision out"),
        (json.dumps(HOW), {"weights": "w.pt"}, "leave encoder.weights out"),
        (json.dumps(HOW), {"name": "none.onnx"}, "none.onnx: no such file"),
    ],
)
def test_onnx_file_needs_its_transform_before_anything_is_read(tmp_path, beside, settings, message):
    path = FILES.write_linear(tmp_path / "mean.onnx", WEIGHTS)
    if beside is not None:
        path.with_suffix(".json").write_text(beside)
    with pytest.raises(WeightsError, match=message):
        find_weights(EncoderSettings(**{"name": str(path), **settings}))


def test_a_transform_of_a_named_encoder_is_refused():
    with pytest.raises(ht.ConfigError, match=r"encoder\.transform is for ONNX files"):
        find_weights(EncoderSettings(transform=HOW))


def test_onnx_file_encodes_by_the_door_and_by_the_command_alike(tmp_path, monkeypatch, caplog):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for label, image in zip("ab", IMAGES, strict=False):
        (tmp_path / "images" / label).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "images" / label / "one.png")
    path = FILES.write_linear(tmp_path / "mean.onnx", WEIGHTS)
    path.with_suffix(".json").write_text(json.dumps(HOW | {"licence": "CC0-1.0"}))
    made = ht.encode_patches("images", layout="folder", encoder=path, out="door")
    assert (made.encoder, made.width, made.meta.encoder_licence) == ("mean.onnx", 5, "CC0-1.0")
    assert made.meta.encoder_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_allclose(made["features"].features, wanted(IMAGES[:2]), rtol=1e-4, atol=1e-5)
    (tmp_path / "probe.yaml").write_text("data: {layout: folder, root: images}\nfeatures: command\n")
    assert hage(["encode", "patches", "probe.yaml", "--encoder", "mean.onnx"]) == 0
    again = ht.read_features("command/features.h5")
    np.testing.assert_array_equal(again.features, made["features"].features)
    assert again.meta == made.meta
    path.with_suffix(".json").write_text(json.dumps(HOW | {"mean": [0, 0, 0]}))
    with pytest.raises(ht.ConfigError, match="made by another encoder"):
        ht.encode_patches("images", layout="folder", encoder=str(path), out="door")


@pytest.mark.parametrize(("trained", "told"), [(1.0, True), (0.52, False)])
def test_onnx_file_warns_of_another_resolution(tmp_path, caplog, trained, told):
    import pandas as pd
    import tifffile

    (tmp_path / "slides").mkdir()
    picture = np.random.default_rng(2).integers(60, 200, (64, 64, 3), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "slides" / "a.tif", picture, tile=(16, 16), resolution=(20000, 20000), resolutionunit="CENTIMETER"
    )
    path = FILES.write_linear(tmp_path / "mean.onnx", WEIGHTS)
    encoder = {"name": str(path), "transform": HOW | {"mpp_um_per_px": trained}}
    labels, changes = pd.DataFrame({"slide": ["a"], "label": ["x"]}), {"data": {"min_tissue": 0}}
    options = {"tile_px": 8, "mpp_um_per_px": 0.5, "encoder": encoder, "changes": changes}
    made = ht.encode_slides(tmp_path / "slides", labels=labels, out=tmp_path / "out", **options)
    assert len(made["a"].features) == 64
    assert ("was trained at 1 um per px and is given images of 0.5" in caplog.text) == told
