import pickle
import shutil

import numpy as np
import pytest

from hage_transfer.errors import DataError
from hage_transfer.pretrain import growing_array, made_rows, set_aside
from hage_transfer.pretrain.dataset import make_fold_data
from hage_transfer.pretrain.inputs import STORE, FoldInputs, fold_inputs, read_inputs, remove_stored
from hage_transfer.pretrain.made_rows import MadeRows
from hage_transfer.running.progress import Shown


@pytest.fixture
def stored(config, tmp_path) -> tuple[FoldInputs, ...]:
    inputs = read_inputs(config)
    return tuple(fold_inputs(inputs, fold, config, run=tmp_path / "run") for fold in inputs.folds)


def test_fold_inputs_give_the_arrays_of_the_sections_they_were_made_from(config, stored):
    inputs = read_inputs(config)
    fold = stored[0]
    direct = make_fold_data(
        inputs.sections,
        fold.fold,
        genes=fold.genes.symbols,
        gene_vectors=fold.genes.vectors,
        gene_source=fold.genes.source,
        preset="spot_log10",
        feature_meta=fold.meta,
    )
    read = fold.data("spot_log10")
    for part in ("train", "test"):
        for name in ("features", "counts", "target", "coords_px", "section"):
            np.testing.assert_array_equal(getattr(getattr(read, part), name), getattr(getattr(direct, part), name))
        for name in ("section_names", "patient", "spot_names"):
            assert getattr(getattr(read, part), name) == getattr(getattr(direct, part), name)


def test_what_a_job_is_given_does_not_grow_with_the_spots(stored):
    genes = stored[0].genes.vectors.nbytes
    assert len(pickle.dumps(stored[0])) < genes + 5_000 < sum(path.stat().st_size for path in paths(stored[0]))


def test_a_section_is_stored_once_for_all_folds(config, stored, tmp_path):
    assert len(list((tmp_path / "run" / STORE).iterdir())) == len(config.data.sections)
    before = [path.stat().st_mtime_ns for path in paths(stored[0])]
    inputs = read_inputs(config)
    again = fold_inputs(inputs, inputs.folds[0], config, run=tmp_path / "run")
    assert [path.stat().st_mtime_ns for path in paths(again)] == before
    remove_stored(tmp_path / "run")
    assert not (tmp_path / "run" / STORE).exists()


def test_positions_are_part_of_the_hash(config, data_root, stored, tmp_path):
    path = data_root / "ST-spotfiles" / "A2_selection.tsv"
    path.write_text(path.read_text().replace("\t20.0\t", "\t21.0\t"))
    inputs = read_inputs(config)
    assert fold_inputs(inputs, inputs.folds[0], config, run=tmp_path / "other").sha256 != stored[0].sha256


@pytest.mark.parametrize("preset", ["spot_log10", "gene_log10"])
def test_arrays_too_large_for_memory_are_mapped_and_equal(stored, tmp_path, monkeypatch, preset):
    in_memory = stored[0].data(preset)
    monkeypatch.setattr(growing_array, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(made_rows, "ENTRIES", 1000)
    mapped = stored[0].data(preset)
    some = [slice(None), slice(60, 70), np.array([100, 3, 3]), mapped.train.section == 1]
    for name, kind in {"features": np.memmap, "counts": MadeRows, "target": MadeRows}.items():
        assert isinstance(getattr(mapped.train, name), kind)
        for rows in some:
            np.testing.assert_array_equal(getattr(mapped.train, name)[rows], getattr(in_memory.train, name)[rows])
    np.testing.assert_array_equal(mapped.train.depth, in_memory.train.depth)
    np.testing.assert_allclose(mapped.train.mean_target, in_memory.train.mean_target, rtol=1e-6)
    assert {path.suffix for path in (tmp_path / "run" / STORE).iterdir()} == {".h5"}  # the mapped files have no name


@pytest.mark.parametrize("min_counts", [0, 100])
def test_sections_that_are_read_lie_in_unnamed_files_where_they_are_large(config, tmp_path, monkeypatch, min_counts):
    config = config.model_copy(update={"data": config.data.model_copy(update={"min_counts": min_counts})})
    in_memory = read_inputs(config).sha256
    monkeypatch.setattr(set_aside, "_WAITING_BYTES", 1)
    inputs = read_inputs(config, scratch=tmp_path / "not" / "there")
    assert inputs.sha256 == in_memory
    for section in inputs.sections.values():
        for array in (section.X.data, section.X.indices, section.obsm["features"], section.obsm["spatial"]):
            assert isinstance(array.base, np.ndarray), "a view of a mapped file"
    assert not (tmp_path / "not").exists()
    found = fold_inputs(inputs, inputs.folds[0], config, run=tmp_path / "run")
    assert found.sections["A2"].X.nnz == inputs.sections["A2"].X.nnz


def paths(fold: FoldInputs) -> list:
    return list(fold.sections.paths.values())


def test_sections_are_counted_as_they_are_read(config):
    told = []
    inputs = read_inputs(config, Shown("pretrain", lambda done, total, name, left: told.append((done, total, name))))
    names = list(inputs.sections)
    assert told == [(k, len(names), f"pretrain, reading: {name}") for k, name in enumerate(names, start=1)]


def test_sections_without_any_image_say_where_it_was_looked_for(config, data_root):
    shutil.rmtree(data_root / "ST-imgs", ignore_errors=True)
    with pytest.raises(DataError, match=r"none of the sections has an image \(A2, .*looked for ST-imgs.*layout=her2st"):
        read_inputs(config)
