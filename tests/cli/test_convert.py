"""`hage convert`: folders there and back, what is unknown and said so, what fails, what is kept."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer.cli.main import run
from hage_transfer.data.feature_file import read_features, write_features
from hage_transfer.door.convert import convert

SLIDES = ("s1", "s2", "s3")


@pytest.fixture
def own(tmp_path):
    generator = np.random.default_rng(0)
    for number, slide in enumerate(SLIDES):
        meta = feature_meta(slide, patch_size_level0_px=448, config_sha256=f"settings {slide}")
        rows = generator.normal(size=(4 + number, 6)).astype(np.float32)
        write_features(tmp_path / "own" / f"{slide}.h5", rows, meta, coords=np.arange(2 * len(rows)).reshape(-1, 2))
    return tmp_path / "own"


@pytest.fixture
def foreign(own, tmp_path):
    """CLAM's folder as CLAM writes it: no attribute of this project."""
    (tmp_path / "clam" / "h5_files").mkdir(parents=True)
    for slide in SLIDES:
        features = read_features(own / f"{slide}.h5")
        with h5py.File(tmp_path / "clam" / "h5_files" / f"{slide}.h5", "w") as file:
            file["features"], file["coords"] = features.features, features.coords.astype(np.int32)
    return tmp_path / "clam"


def _hage(*arguments):
    return run([str(argument) for argument in arguments])


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("layout", "options"), [("clam", ()), ("trident", ("--magnification", 20, "--overlap", 0))])
def test_convert_there_and_back_gives_the_same_files(own, tmp_path, layout, options):
    assert _hage("convert", own, "--to", layout, "--out", tmp_path / "there", *options) == 0
    assert _hage("convert", tmp_path / "there", "--to", "hage", "--out", tmp_path / "back") == 0
    for slide in SLIDES:
        before, after = read_features(own / f"{slide}.h5"), read_features(tmp_path / "back" / f"{slide}.h5")
        np.testing.assert_array_equal(after.features, before.features)
        np.testing.assert_array_equal(after.coords, before.coords)
        assert after.meta == before.meta


def test_convert_says_what_is_written_as_unknown(foreign, tmp_path, capsys):
    said = ("--encoder-name", "uni", "--licence", "CC-BY-NC-ND")
    assert _hage("convert", foreign, "--to", "hage", "--out", tmp_path / "out", *said) == 0
    meta = read_features(tmp_path / "out" / "s1.h5").meta
    assert (meta.encoder, meta.encoder_licence) == ("uni", "CC-BY-NC-ND")
    assert meta.mpp_um_per_px is None
    message = " ".join(capsys.readouterr().err.split())
    assert message.count("written as unknown") == 1
    assert "encoder_sha256 (3 slides; --encoder-sha256)" in message
    assert "--mpp" in message
    assert "--encoder-name" not in message


def test_converted_features_of_an_unknown_encoder_do_not_fit_a_gene_informed_one(foreign, tmp_path):
    from hage_transfer.errors import DataError
    from hage_transfer.models.embedding import check_fits
    from hage_transfer.models.gene_informed import GeneInformedEncoder

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "s1.h5").write_bytes((foreign / "h5_files" / "s1.h5").read_bytes())
    metas = []
    for folder in (foreign, tmp_path / "other"):
        assert _hage("convert", folder, "--to", "hage", "--out", tmp_path / "out" / folder.name) == 0
        metas.append(read_features(tmp_path / "out" / folder.name / "s1.h5").meta)
    encoder = GeneInformedEncoder(torch.zeros(3, 4), feature_dim=6, embed_dim=8, n_heads=2)
    encoder.card = {"frozen_encoder": metas[0].encoder, "frozen_encoder_sha256": metas[0].encoder_sha256}
    with pytest.raises(DataError):
        check_fits(metas[1], 6, encoder, folder=tmp_path)


def test_the_function_does_what_the_command_does_and_its_result_is_a_path(own, tmp_path):
    assert _hage("convert", own, "--to", "clam", "--out", tmp_path / "command") == 0
    told = []
    found = convert(str(own), to="clam", out=str(tmp_path / "function"), progress=lambda *now: told.append(now))
    assert (found.written, found.total, Path(found)) == (3, 3, tmp_path / "function")
    assert told == [(1, 3, "s1"), (2, 3, "s2"), (3, 3, "s3")]
    for name in _files(found.folder):
        assert (found.folder / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    assert convert(found, to="pt", out=tmp_path / "pt").written == 3


def test_convert_again_does_what_is_left(own, tmp_path, capsys):
    arguments = ("convert", own, "--to", "clam", "--out", tmp_path / "out")
    assert _hage(*arguments) == 0
    gone = tmp_path / "out" / "h5_files" / "s2.h5"
    gone.unlink()
    kept = (tmp_path / "out" / "h5_files" / "s1.h5").stat().st_mtime_ns
    capsys.readouterr()
    assert _hage(*arguments) == 0
    assert "1 of 3 slides written as clam" in capsys.readouterr().out
    assert gone.exists()
    assert (tmp_path / "out" / "h5_files" / "s1.h5").stat().st_mtime_ns == kept


def test_convert_goes_on_past_a_damaged_file(own, tmp_path):
    (own / "s2.h5").write_bytes(b"nothing")
    assert _hage("convert", own, "--to", "clam", "--out", tmp_path / "out") == 1
    with (tmp_path / "out" / "failures.csv").open() as handle:
        ((failed),) = csv.DictReader(handle)
    assert failed["item"] == "s2"
    assert "cannot be read as h5" in failed["reason"]
    assert {path.stem for path in (tmp_path / "out" / "h5_files").iterdir()} == {"s1", "s3"}
    (own / "s2.h5").write_bytes((own / "s1.h5").read_bytes())
    assert _hage("convert", own, "--to", "clam", "--out", tmp_path / "out") == 0
    assert not (tmp_path / "out" / "failures.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("own", "--to", "trident", "--out", "out"), "give --magnification, --overlap"),
        (("own", "--to", "clam", "--out", "own"), "is where the features to convert are"),
        (("own/s1.h5", "--to", "hage", "--out", "own"), "is where the features to convert are"),
        (("nowhere", "--to", "clam", "--out", "out"), "no such feature file"),
        (("own", "--to", "zarr", "--out", "out"), "zarr"),
        (("own", "--to", "clam", "--out", "out", "--encoder-name", "uni"), "--encoder-name says uni"),
        (("own", "--to", "clam", "--out", "out", "--coords", "nowhere"), "no such file or folder of coords"),
        (("own", "--to", "clam", "--out", "own/s1.h5"), "is a file; --out names a folder"),
        (
            ("own", "--to", "clam", "--out", "out", "--slide-mpp", "250"),
            "--slide-mpp 250: um per px of slides are 0.05 to 20",
        ),
    ],
)
def test_convert_names_what_is_wrong_and_writes_nothing(own, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    before = _files(tmp_path)
    assert _hage("convert", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert _files(tmp_path) == before


def test_convert_never_writes_over_its_input(foreign, tmp_path, capsys):
    before = (foreign / "h5_files" / "s1.h5").read_bytes()
    assert _hage("convert", foreign / "h5_files", "--to", "clam", "--out", foreign, "--overwrite") == 2
    assert "would be written over by itself" in capsys.readouterr().err
    assert (foreign / "h5_files" / "s1.h5").read_bytes() == before


@pytest.mark.slow
def test_convert_killed_and_run_again_gives_the_same_files(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(12):
        meta = feature_meta(f"s{number}", encoder="uni", encoder_licence="x", patch_size_level0_px=448)
        rows = generator.normal(size=(3000, 512)).astype(np.float32)
        write_features(tmp_path / "own" / f"s{number}.h5", rows, meta, coords=np.zeros((3000, 2), np.int64))
    command = [str(Path(sys.executable).parent / "hage"), "convert", str(tmp_path / "own"), "--to", "clam", "--out"]
    out = tmp_path / "killed"
    for _ in range(4):
        process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        there, deadline = len(_files(out)) if out.exists() else 0, time.monotonic() + 30
        while (
            time.monotonic() < deadline
            and process.poll() is None
            and (not out.exists() or len(_files(out)) < there + 3)
        ):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for folder in (out, tmp_path / "whole"):
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
    assert _files(out) == _files(tmp_path / "whole")
    for name in _files(out):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
