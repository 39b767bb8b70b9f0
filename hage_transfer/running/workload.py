"""How long jobs take that workers share, in jobs one after the other: two workers end three jobs after two."""

import heapq
from collections.abc import Mapping, Sequence

_PLANNED = 8
"""Jobs a worker up to which their places are worked out; of more, the last ones make no difference."""


class Workload:
    """What is left of a list of jobs.

    Attributes:
        running: share done of the jobs that have said so.
    """

    def __init__(self, costs: Mapping[str, float], *, n_jobs: int, later: float = 0.0) -> None:
        """Takes the jobs.

        Args:
            costs: of each job by its name, in the order in which they begin.
            n_jobs: at a time.
            later: cost of what comes after them.
        """
        self.running: dict[str, float] = {}
        self._costs, self._n_jobs, self._later = dict(costs), n_jobs, later

    def end(self, name: str) -> None:
        """A job that has ended."""
        self.running.pop(name, None)
        self._costs.pop(name, None)

    def left(self) -> float:
        """Time to the end of all, in that of a job of cost 1."""
        costs = {name: cost * (1 - self.running.get(name, 0.0)) for name, cost in self._costs.items()}
        if _is_even(len(costs), self._n_jobs):
            return sum(costs.values()) / self._n_jobs + self._later
        ends = [0.0] * self._n_jobs
        for name in sorted(costs, key=lambda name: name not in self.running):
            heapq.heappush(ends, heapq.heappop(ends) + costs[name])
        return max(ends) + self._later


def time_of(jobs: Sequence[tuple[int, float]], *, n_jobs: int) -> float:
    """Time to the end of a list that nobody has begun: (amount, cost of each), as ``Workload`` would say it.

    No list of them is made where their places make no difference.
    """
    if _is_even(sum(amount for amount, _ in jobs), n_jobs):
        return sum(amount * cost for amount, cost in jobs) / n_jobs
    costs = [cost for amount, cost in jobs for _ in range(amount)]
    return Workload({str(place): cost for place, cost in enumerate(costs)}, n_jobs=n_jobs).left()


def _is_even(amount: int, n_jobs: int) -> bool:
    """Whether so many jobs end together as good as evenly, wherever each of them runs."""
    return n_jobs == 1 or amount > _PLANNED * n_jobs
