import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from feature_meta import feature_meta

from hage_transfer.data.feature_file import read_features, write_blocks, write_features
from hage_transfer.data.feature_journal import FeatureJournal, journal_path
from hage_transfer.errors import DataError

META = feature_meta("s", encoder_sha256="abc", patch_size_level0_px=448, config_sha256="hash")
ROWS = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32)
COORDS = np.arange(20).reshape(10, 2)
HEAD = struct.calcsize("<II")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "slide.h5"


@pytest.fixture
def journal_of(target):
    opened = []

    def journal(*, identity="one", width=6):
        opened.append(FeatureJournal(target, identity=identity, width=width))
        return opened[-1]

    yield journal
    for one in opened:
        one.close()


@pytest.fixture
def filled(journal_of):
    def fill(*sizes):
        journal, start = journal_of(), 0
        for size in sizes:
            journal.append(ROWS[start : start + size])
            start += size
        journal.close()
        return journal

    return fill


def rows_in(journal):
    return np.concatenate([*journal.blocks(), np.empty((0, 6), np.float32)])


def test_features_round_trip(target):
    write_features(target, ROWS, META, coords=COORDS)
    found = read_features(target)
    np.testing.assert_array_equal(found.features, ROWS)
    np.testing.assert_array_equal(found.coords, COORDS)
    assert found.meta == META


def test_blocks_make_the_same_file_as_all_rows_at_once(target, tmp_path):
    write_features(target, ROWS, META, coords=COORDS)
    write_blocks(
        tmp_path / "b.h5", [ROWS[:4], ROWS[4:]], META, shape=ROWS.shape, dtype=ROWS.dtype, coords=COORDS
    )  # fmt: skip
    assert (tmp_path / "b.h5").read_bytes() == target.read_bytes()


@pytest.mark.parametrize("blocks", [[ROWS[:4]], []])
def test_blocks_that_lack_rows_leave_no_file(target, blocks):
    with pytest.raises(DataError, match="rows of features for 10 places"):
        write_blocks(target, blocks, META, shape=ROWS.shape, dtype=ROWS.dtype, coords=COORDS)
    assert list(target.parent.iterdir()) == []


def test_journal_gives_back_what_it_was_given(filled):
    assert rows_in(filled(4, 4, 2)).tobytes() == ROWS.tobytes()


def test_journal_is_gone_on_with(journal_of, filled):
    filled(4)
    journal = journal_of()
    assert journal.rows == 4
    journal.append(ROWS[4:])
    assert rows_in(journal).tobytes() == ROWS.tobytes()


@pytest.mark.parametrize(("identity", "width"), [("other", 6), ("one", 3)])
def test_journal_of_other_inputs_is_begun_anew(journal_of, filled, identity, width):
    filled(4)
    assert journal_of(identity=identity, width=width).rows == 0
    assert journal_of().rows == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_journal_on_a_full_disk_keeps_what_it_took(journal_of, filled):
    filled(4)
    journal = journal_of()
    journal._file.close()
    journal._file = Path("/dev/full").open("ab")  # noqa: SIM115 - the journal closes it
    with pytest.raises(OSError, match="No space left"):
        journal.append(ROWS[4:])
    journal.close()
    assert journal_of().rows == 4


@pytest.mark.parametrize("lost", [1, 4 * 6 * 4 - 1, 4 * 6 * 4 + HEAD - 1])
def test_journal_drops_a_torn_record_alone(target, journal_of, filled, lost):
    filled(4, 4)
    path = journal_path(target)
    path.write_bytes(path.read_bytes()[:-lost])
    journal = journal_of()
    assert journal.rows == 4
    np.testing.assert_array_equal(rows_in(journal), ROWS[:4])


@pytest.mark.parametrize("spoil", [lambda data: data[:-5] + b"\0" * 5, lambda data: data + b"\0" * 500])
def test_journal_drops_what_a_power_cut_left(target, journal_of, filled, spoil):
    filled(4, 4)
    path = journal_path(target)
    path.write_bytes(spoil(path.read_bytes()))
    assert journal_of().rows in (4, 8)
    journal = journal_of()
    np.testing.assert_array_equal(rows_in(journal), ROWS[: journal.rows])


def test_journal_is_safe_from_a_worker_that_was_taken_over(journal_of):
    slow = journal_of()
    slow.append(ROWS[:4])
    taker = journal_of()
    slow.append(ROWS[:4])
    taker.append(ROWS[4:])
    assert rows_in(taker).tobytes() == ROWS.tobytes()


def test_journal_refuses_nan_and_names_the_row(journal_of):
    journal = journal_of()
    journal.append(ROWS[:4])
    bad = ROWS[4:].copy()
    bad[2, 1] = np.nan
    with pytest.raises(DataError, match=r"1 of 6 features hold NaN or infinity \(first: row 6\)"):
        journal.append(bad)


def test_journal_discarded_leaves_nothing(target, journal_of):
    journal_of().discard()
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda file: file.create_dataset("features", data=np.zeros((3, 0), np.float32)),
            r"\(N, D\) floats, .*\(3, 0\)",
        ),
        (lambda file: file.create_dataset("features", data=[b"a", b"b"]), "of type text, wanted float32"),
        (lambda file: file.create_group("features"), "features is a group"),
    ],
)
def test_features_of_another_form_are_refused(target, spoil, message):
    write_features(target, ROWS, META, coords=COORDS)
    with h5py.File(target, "a") as file:
        del file["features"]
        spoil(file)
    with pytest.raises(DataError, match=message):
        read_features(target)


def test_a_schema_version_that_is_text_is_refused(target):
    write_features(target, ROWS, META, coords=COORDS)
    with h5py.File(target, "a") as file:
        file.attrs["schema_version"] = "one"
    with pytest.raises(DataError, match="schema_version is 'one', wanted a whole number"):
        read_features(target)
