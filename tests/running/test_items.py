"""The one loop: what is done is kept, what fails is listed, and how a list ends."""

import pytest

from hage_transfer.errors import DataError, InputError, ItemsFailedError
from hage_transfer.running.failures import read_failures
from hage_transfer.running.items import Items, run_items
from hage_transfer.running.job import Job


def double(number: int) -> int:
    if number < 0:
        error = DataError(f"{number} is below 0")
        error.add_note("a note")
        raise error
    return 2 * number


def jobs(*numbers: int) -> list[Job]:
    return [Job(f"item {number}", None, double, (number,)) for number in numbers]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_items_return_what_they_made_in_the_order_of_the_list(tmp_path, n_jobs):
    told = []
    found = run_items(jobs(3, 1, 2), tmp_path, n_jobs=n_jobs, progress=lambda *now: told.append(now))
    assert list(found.items()) == [("item 3", 6), ("item 1", 2), ("item 2", 4)]
    assert [now[:2] for now in told] == [(1, 3), (2, 3), (3, 3)]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_items_that_fail_are_listed_and_the_others_are_done(tmp_path, n_jobs):
    folder = tmp_path / "not there yet"
    with pytest.raises(ItemsFailedError, match=r"1 of 3 slides failed, see .*failures.csv.* item -1: -1 is") as failed:
        run_items(jobs(3, -1, 2), folder, what="slides", n_jobs=n_jobs)
    assert failed.value.done == {"item 3": 6, "item 2": 4}
    assert read_failures(folder) == {"item -1": "-1 is below 0; a note"}
    run_items(jobs(3, 1, 2), folder)
    assert read_failures(folder) == {}
    assert not list(folder.iterdir())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_list_of_which_nothing_can_be_done_raises_its_first_error_and_makes_no_folder(tmp_path, n_jobs):
    with pytest.raises(DataError, match="is below 0") as failed:
        run_items(jobs(-1, -2), tmp_path / "out", what="files", n_jobs=n_jobs)
    assert failed.value.__notes__[0] == "a note"
    assert "none of 2 files could be done" in failed.value.__notes__[1]
    assert not (tmp_path / "out").exists()


def test_all_failures_are_listed_where_the_folder_is_there(tmp_path):
    with pytest.raises(InputError):
        run_items(jobs(-1, -2), tmp_path)
    assert list(read_failures(tmp_path)) == ["item -1", "item -2"]


def test_what_is_done_is_not_run_again_and_is_counted(tmp_path):
    (tmp_path / "made").touch()
    told = []
    kept = Job("kept", tmp_path / "made", double, (-1,))
    assert run_items([kept, *jobs(1)], tmp_path, progress=lambda *now: told.append(now)) == {"item 1": 2}
    assert told == [(1, 2, "kept"), (2, 2, "item 1")]


def test_lists_of_several_calls_end_together(tmp_path):
    items = Items(tmp_path, what="slides", total=4)
    items.keep("before")
    items.fail("gone", DataError("no such slide"))
    assert items.run(jobs(1)) == {"item 1": 2}
    assert items.run(jobs(-1)) == {}
    with pytest.raises(ItemsFailedError, match="2 of 4"):
        items.finish()
    assert list(read_failures(tmp_path)) == ["gone", "item -1"]


def test_a_kept_failure_holds_no_frames(tmp_path):
    items = Items(tmp_path, what="slides", total=2)
    items.run(jobs(-1))
    assert items.failures["item -1"].__traceback__ is None


def test_an_interrupt_ends_the_loop(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_items([*jobs(1), Job("here", None, interrupted, ()), *jobs(2)], tmp_path)
