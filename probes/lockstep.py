"""Several optimisers, each its own, fed from one pass over the data: they wait for one another at every evaluation."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

Point = TypeVar("Point")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class _StoppedError(Exception):
    """Ends the other searches where one has failed; never leaves this module."""


def in_lockstep(
    n_searches: int,
    search: Callable[[int, Callable[[Point], Answer]], Result],
    evaluate: Callable[[Mapping[int, Point]], Mapping[int, Answer]],
) -> list[Result]:
    """Runs ``search(number, ask)`` for every number at once; what they ask is answered by ``evaluate`` together.

    A search takes the same steps as it would alone, since its answers depend on its own points only.

    Args:
        n_searches: how many.
        search: calls ``ask`` with a point as often as it likes and returns its result.
        evaluate: answers the points of all searches that still run.

    Raises:
        Exception: whatever a search or ``evaluate`` raises; the other searches are ended.
    """
    asked: SimpleQueue[tuple[int, Point] | None] = SimpleQueue()
    answers: list[SimpleQueue[Answer]] = [SimpleQueue() for _ in range(n_searches)]
    stop = Event()

    def run(number: int) -> Result:
        def ask(point: Point) -> Answer:
            asked.put((number, point))
            while True:
                answer = answers[number].get()
                if stop.is_set():
                    raise _StoppedError
                return answer

        try:
            return search(number, ask)
        finally:
            asked.put(None)

    with ThreadPoolExecutor(n_searches) as pool:
        futures = [pool.submit(run, number) for number in range(n_searches)]
        try:
            _answer_all(n_searches, asked, answers, evaluate)
        finally:
            stop.set()
            for queue in answers:
                queue.put(None)  # type: ignore[arg-type]
            wait(futures)
        return [future.result() for future in futures]


def _answer_all(
    n_searches: int,
    asked: "SimpleQueue[tuple[int, Point] | None]",
    answers: "list[SimpleQueue[Answer]]",
    evaluate: Callable[[Mapping[int, Point]], Mapping[int, Answer]],
) -> None:
    running, points = n_searches, dict[int, Point]()
    while running:
        message = asked.get()
        if message is None:
            running -= 1
        else:
            points[message[0]] = message[1]
        if points and len(points) == running:
            for number, answer in evaluate(points).items():
                answers[number].put(answer)
            points = {}
