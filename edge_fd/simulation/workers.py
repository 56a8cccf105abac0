"""Computes the tasks of simulated devices in one-thread processes, ahead of virtual time.

A task's outcome is a function of the task alone, so it does not matter where
or when it is computed. When a device begins to compute and its outcome is not
there yet, the tasks of other devices that wait for the same round are computed
along with it. One that turns out otherwise (the device missed a message) is
computed again when it comes to that: the results are bit-equal for any number
of processes, and on any machines of one type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from devices.bundle import read_bundle
from devices.student import Student
from edge_fd.desk import Desk
from edge_fd.errors import MissingExtraError, UnknownNameError, UsageError
from edge_fd.methods.base import Method
from edge_fd.task import Computed, Replay, Task

if TYPE_CHECKING:
    import joblib

BACKENDS = ("processes", "ray", "dask")
AHEAD = 64
"""Tasks for each process that are computed at once at most; their outcomes are held."""
PARTS = 4
"""Batches for each process, so that one slow batch does not keep the others waiting."""
DESKS = 32
"""Students whose sessions a process keeps."""

Expected = Callable[[], Iterable[Task]]


class Workers:
    """Processes that compute tasks; ``bundles`` tells each device's bundle file."""

    def __init__(self, parallel: joblib.Parallel, count: int, bundles: Mapping[str, Path]) -> None:
        self._parallel, self._count, self._bundles = parallel, count, bundles
        self._ready: dict[str, tuple[Task, Computed]] = {}

    def job(self, task: Task, expected: Expected) -> Replay:
        """Return the computed job of ``task``; ``expected`` are tasks that will be wanted soon."""
        name = task.device.name
        found = self._ready.pop(name, None)
        if found is None or not _same(found[0], task):
            more = (other for other in expected() if not self._has(other))
            others = (other for other in more if other.device.name != name)
            self._compute([task, *islice(others, AHEAD * self._count - 1)])
            found = self._ready.pop(name)
        return Replay(found[1])

    def _has(self, task: Task) -> bool:
        found = self._ready.get(task.device.name)
        return found is not None and _same(found[0], task)

    def _compute(self, tasks: Sequence[Task]) -> None:
        size = -(-len(tasks) // (PARTS * self._count))
        parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        from joblib import delayed

        calls = [
            delayed(compute)(
                [(str(self._bundles[task.device.name].absolute()), task) for task in part]
            )
            for part in parts
        ]
        for part, outcomes in zip(parts, self._parallel(calls), strict=True):
            for task, outcome in zip(part, outcomes, strict=True):
                self._ready[task.device.name] = (task, outcome)


@contextmanager
def open_workers(
    count: int, bundles: Mapping[str, Path], *, backend: str = "processes"
) -> Iterator[Workers | None]:
    """Start ``count`` processes; None where one local process, this one, is all.

    ``backend``: local ``processes``, or a ``ray`` or ``dask`` cluster: the one that
    RAY_ADDRESS or DASK_SCHEDULER_ADDRESS names, else one started here. Raises
    UnknownNameError and MissingExtraError.
    """
    check_workers(count, backend)
    if count == 1 and backend == "processes":
        yield None
        return
    import joblib

    with _config(backend), joblib.Parallel(n_jobs=count, batch_size=1) as parallel:
        yield Workers(parallel, count, bundles)


def check_workers(count: int, backend: str) -> None:
    """Raise UsageError for a count or a backend that is none."""
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if count < 1:
        raise UsageError(f"workers = {count} must be at least 1")


@contextmanager
def _config(backend: str) -> Iterator[None]:
    """Tell joblib where to compute; a cluster is found as its own tools find it."""
    import joblib

    try:
        with ExitStack() as stack:
            if backend == "ray":
                from ray.util.joblib import register_ray

                register_ray()
                stack.enter_context(joblib.parallel_config("ray"))
            elif backend == "dask":
                import distributed

                stack.enter_context(distributed.Client())
                stack.enter_context(joblib.parallel_config("dask"))
            else:
                stack.enter_context(joblib.parallel_config("loky", inner_max_num_threads=1))
            yield
    except ModuleNotFoundError as error:
        if error.name not in ("ray", "distributed"):
            raise
        raise MissingExtraError(error.name, backend) from None


def compute(calls: Sequence[tuple[str, Task]]) -> list[Computed]:
    """Compute tasks in this process, each with the bundle of its device."""
    return [task.compute(_desk(path, task.method)) for path, task in calls]


@lru_cache(DESKS)
def _desk(path: str, method: Method) -> Desk:
    return Desk(Student(read_bundle(path)), method.losses)


def _same(foreseen: Task, task: Task) -> bool:
    """Whether a task is the one that was foreseen; what is shared is known by its identity."""
    return (
        foreseen.state is task.state
        and foreseen.knowledge is task.knowledge
        and foreseen.round.number == task.round.number
        and foreseen.round.acknowledged == task.round.acknowledged
    )
