"""Weights on disk: whose file it is, whether its numbers are numbers, and whether they are what was written."""

import json
import os
import stat

import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from safetensors.torch import load_file, save_file

from hage_transfer.data.feature_file import write_blocks
from hage_transfer.errors import DataError
from hage_transfer.models.checkpoint import CONFIG_FILE, HASHES, WEIGHTS_FILE
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.tensor_files import (
    FACTS,
    build_fitting,
    copy_trained,
    read_tensors,
    save_tensors,
    tensors_sha256,
    trained_sha256,
    work_of,
)

CARD = {"frozen_encoder": "uni", "panel": ["A"], "preset": "spot_log10"}


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    model = GeneInformedEncoder(torch.randn(3, 4), feature_dim=6, embed_dim=8, n_heads=2)
    model.save_pretrained(tmp_path / "encoder", card=CARD)
    return tmp_path / "encoder"


def spoil(folder, change, *, rehash=True):
    """Changes an encoder's tensors; ``rehash``: as someone would who means it."""
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)
    if rehash:
        card = json.loads((folder / CONFIG_FILE).read_text())
        del card[HASHES]
        (folder / CONFIG_FILE).write_text(json.dumps(card))


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_have_the_mode_that_the_user_s_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)}, header={"k": "v"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o666 & ~umask
    header, tensors = read_tensors(tmp_path / "a.safetensors", remedy="")
    assert header["k"] == "v"
    assert tensors.keys() == {"x"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(encoder, value):
    spoil(encoder, lambda tensors: tensors["refine.0.bias"].fill_(value))
    with pytest.raises(DataError, match=r"refine\.0\.bias hold NaN or infinity"):
        GeneInformedEncoder.from_pretrained(encoder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update({"refine.0.bias": t["refine.0.bias"].double()}), "of another type: refine.0.bias"),
        (lambda t: t.update({"refine.0.bias": t["refine.0.bias"].int()}), "of another type: refine.0.bias"),
        (lambda t: t.update({"refine.0.bias": t["refine.0.bias"][:3].clone()}), "of another shape: refine.0.bias"),
        (lambda t: t.pop("refine.0.bias"), "1 missing: refine.0.bias"),
        (lambda t: t.update({"more": torch.zeros(1)}), "1 left over: more"),
        (lambda t: t.update({"gene_embeddings": torch.zeros(4)}), "gene_embeddings|no model can be made"),
    ],
)
def test_weights_that_do_not_fit_are_named(encoder, change, said):
    spoil(encoder, change)
    with pytest.raises(DataError, match=said):
        GeneInformedEncoder.from_pretrained(encoder)


def test_a_damaged_bit_is_found_by_the_recorded_hash(encoder):
    data = bytearray((encoder / WEIGHTS_FILE).read_bytes())
    data[-5] ^= 1
    (encoder / WEIGHTS_FILE).write_bytes(data)
    with pytest.raises(DataError, match="its hash is another"):
        GeneInformedEncoder.from_pretrained(encoder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("embed_dim", 10**9), ("feature_dim", 10**15), ("embed_dim", True), ("n_heads", "2"), (HASHES, 3)],
)
def test_sizes_that_no_model_has_take_no_memory(encoder, key, value):
    card = json.loads((encoder / CONFIG_FILE).read_text())
    card[key] = value
    (encoder / CONFIG_FILE).write_text(json.dumps(card))
    if key == HASHES:
        GeneInformedEncoder.from_pretrained(encoder)  # a card of another hand: no hash is no fault
        return
    with pytest.raises(DataError, match=r"do not fit|no model can be made|missing"):
        GeneInformedEncoder.from_pretrained(encoder)


def test_an_encoder_without_hashes_is_read(encoder):
    spoil(encoder, lambda tensors: None)
    assert GeneInformedEncoder.from_pretrained(encoder).feature_dim == 6


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", (10**12).to_bytes(8, "little") + b"{}"])
def test_damaged_safetensors_are_a_message(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.safetensors: cannot be read as safetensors .*again"):
        read_tensors(tmp_path / "a.safetensors", remedy="train it again")


def test_the_hash_of_tensors_sees_names_types_shapes_and_values():
    base = {"a": torch.arange(4.0), "b": torch.zeros(2)}
    others = [
        {"a": torch.arange(4.0), "c": torch.zeros(2)},
        {"a": torch.arange(4.0).reshape(2, 2), "b": torch.zeros(2)},
        {"a": torch.arange(4.0).double(), "b": torch.zeros(2)},
        {"a": torch.arange(4.0) + 1e-6, "b": torch.zeros(2)},
    ]
    assert tensors_sha256(base) == tensors_sha256(dict(reversed(base.items())))
    assert len({tensors_sha256(one) for one in [base, *others]}) == 5


def test_build_fitting_gives_the_model_with_the_tensors():
    wanted = torch.nn.Linear(3, 2)
    found = build_fitting(lambda: torch.nn.Linear(3, 2), wanted.state_dict(), where="here")
    torch.testing.assert_close(found.weight, wanted.weight)


def test_feature_files_are_not_written_with_infinities(tmp_path):
    meta = feature_meta("s", encoder="uni", encoder_licence="MIT", config_sha256="c" * 64)
    rows = np.ones((4, 2), np.float32)
    rows[2, 1] = np.inf
    with pytest.raises(DataError, match="row 2 of 4 holds NaN or infinity"):
        write_blocks(
            tmp_path / "s.h5",
            [rows[:2], rows[2:]],
            meta,
            shape=(4, 2),
            dtype=rows.dtype,
            keys=[str(k) for k in range(4)],
        )
    assert not (tmp_path / "s.h5").exists()


def test_copies_of_one_training_are_equal_whatever_their_jobs_were_called(tmp_path):
    made = []
    for number, work in enumerate(("linear-0123", "linear-4567")):
        path, copy = tmp_path / f"{number}.safetensors", tmp_path / f"copy_{number}.safetensors"
        save_tensors(path, {"weights": torch.arange(6.0)}, header={FACTS: json.dumps({"work": work, "heads": ["0"]})})
        copy_trained(path, copy)
        made.append((copy.read_bytes(), trained_sha256(path), trained_sha256(copy)))
        assert work_of(path) == work and work_of(copy) is None
    assert made[0] == made[1] and made[0][1] == made[0][2]
    header, tensors = read_tensors(tmp_path / "copy_0.safetensors", remedy="")
    assert json.loads(header[FACTS]) == {"heads": ["0"]} and tensors["weights"].tolist() == list(range(6))
    (tmp_path / "bad.safetensors").write_bytes(b"junk")
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        copy_trained(tmp_path / "bad.safetensors", tmp_path / "out.safetensors")
