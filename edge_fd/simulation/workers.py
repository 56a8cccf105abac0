"""Computes the tasks of simulated devices in one-thread processes, ahead of virtual time.

A task's outcome is a function of the task alone, so it does not matter where
or when it is computed. When a device begins to compute and its outcome is not
there yet, the tasks of other devices that wait for the same round are computed
along with it. One that turns out otherwise (the device missed a message) is
computed again when it comes to that: the results are bit-equal for any number
of processes, and on any machines of one type. Outcomes are taken up as they come: virtual
time goes on while the rest is still being computed.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain, islice
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from devices.bundle import read_bundle
from devices.student import Student
from edge_fd.desk import Desk
from edge_fd.errors import MissingExtraError, UnknownNameError, UsageError
from edge_fd.kit import Kit, KitDevice
from edge_fd.methods.base import Method
from edge_fd.requests import Samples
from edge_fd.simulation.shelf import Kept, fill, keep, look, map_away, without_samples
from edge_fd.task import Computed, Replay, Task

if TYPE_CHECKING:
    import joblib

BACKENDS = ("processes", "ray", "dask")
AHEAD = 64
"""Tasks for each process that are computed at once at most."""
PARTS = 4
"""Batches for each process, so that one slow batch does not keep the others waiting."""
DESKS = 32
"""Students whose sessions a process keeps."""

Expected = Callable[[], Iterable[Task]]


class Workers:
    """Processes that compute tasks.

    ``bundles`` tells each device's bundle file, ``samples`` the folder of the
    shelf with their samples.
    """

    def __init__(
        self, parallel: joblib.Parallel, count: int, bundles: Mapping[str, Path], samples: Path
    ) -> None:
        self._parallel, self._count = parallel, count
        self._bundles, self._samples = bundles, str(samples.absolute())
        self._ready: dict[str, tuple[Task, Replay]] = {}
        self._coming: Iterator[tuple[Task, Replay]] = iter(())
        self._maps: WeakSet[mmap] = WeakSet()
        self._looks = 0

    def job(self, task: Task, expected: Expected) -> Replay:
        """Return the computed job of ``task``; ``expected`` are tasks that will be wanted soon."""
        name = task.device.name
        while not self._has(task):
            for done, outcome in self._coming:
                self._ready[done.device.name] = done, outcome
                break
            else:
                others = (other for other in expected() if other.device.name != name)
                self._begin(chain([task], others))
        return self._ready.pop(name)[1]

    def ahead(self, expected: Expected) -> None:
        """Have what will be wanted soon computed, after what was begun before."""
        self.finish()
        self._begin(expected())

    def on_shelf(self, kit: Kit) -> Kit:
        """The kit with the samples of devices from the shelf and without those they came from.

        What they took in memory is free once nobody has the kit as it was.
        """
        private = look(self._samples).private
        devices = {name: replace(me, private=private[name]) for name, me in kit.devices.items()}
        none = np.empty((0, *kit.dataset.x.shape[1:]), kit.dataset.x.dtype)
        dataset = replace(kit.dataset, x=none, y=np.empty(0, np.int64), group=None)
        return replace(kit, devices=devices, dataset=dataset)

    def finish(self) -> None:
        """Wait for what was begun."""
        for done, outcome in self._coming:
            # Where the device missed something it will not come to what was foreseen.
            self._ready[done.device.name] = done, outcome

    def looked(self) -> None:
        """Count one more look at an outcome, which brings its neighbours into memory as well."""
        self._looks += 1
        if self._looks % (AHEAD * self._count) == 0:
            self.trim()

    def trim(self) -> None:
        """Give pages back to the system that were looked at, or that glibc keeps for later.

        With thousands of devices they would come to more than all the rest.
        """
        for mapped in self._maps:
            mapped.madvise(MADV_DONTNEED)
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
        if trim is not None:  # another C library has none
            trim(0)

    def _call(self, part: Sequence[Task]) -> Any:
        from joblib import delayed

        paths = [str(self._bundles[task.device.name].absolute()) for task in part]
        return delayed(compute)(paths, [without_samples(task) for task in part], self._samples)

    def _has(self, task: Task) -> bool:
        found = self._ready.get(task.device.name)
        return found is not None and _same(found[0], task)

    def _begin(self, expected: Iterable[Task]) -> None:
        """Have tasks computed; their outcomes come in this order, while others still compute."""
        tasks = list(islice((t for t in expected if not self._has(t)), AHEAD * self._count))
        if not tasks:
            return
        self.trim()
        size = -(-len(tasks) // (PARTS * self._count))
        parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        outcomes = self._parallel([self._call(part) for part in parts])
        pairs = (
            zip(part, self._replays(kept), strict=True)
            for part, kept in zip(parts, outcomes, strict=True)
        )
        self._coming = chain.from_iterable(pairs)

    def _replays(self, kept: Sequence[Kept]) -> list[Replay]:
        mapped = map_away(kept[0].path)
        self._maps.add(mapped)
        return [Replay(one.asked, one.loss, partial(self._take, one, mapped)) for one in kept]

    def _take(self, kept: Kept, mapped: mmap) -> Computed:
        self.looked()
        return kept.take(mapped)


@contextmanager
def open_workers(
    count: int,
    devices: Mapping[str, KitDevice],
    *,
    proxy: Samples | None = None,
    backend: str = "processes",
) -> Iterator[Workers | None]:
    """Start ``count`` processes; None where one local process, this one, is all.

    ``backend``: local ``processes``, or a ``ray`` or ``dask`` cluster: the one that
    RAY_ADDRESS or DASK_SCHEDULER_ADDRESS names, else one started here. The devices'
    samples are written beside their bundles for as long as this lasts. Raises
    UnknownNameError and MissingExtraError.
    """
    check_workers(count, backend)
    if count == 1 and backend == "processes":
        yield None
        return
    import joblib

    bundles = {name: device.bundle_path for name, device in devices.items()}
    beside = next(iter(bundles.values())).parent
    how = "generator" if backend == "processes" else "list"  # Ray's knows no generator
    with (
        TemporaryDirectory(prefix=".samples-", dir=beside, ignore_cleanup_errors=True) as samples,
        _config(backend),
        joblib.Parallel(count, batch_size=1, pre_dispatch="all", return_as=how) as parallel,
    ):
        fill(Path(samples), {name: device.private for name, device in devices.items()}, proxy)
        del devices  # whoever has them from the shelf needs these no more
        workers = Workers(parallel, count, bundles, Path(samples))
        yield workers
        workers.finish()


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


def compute(paths: Sequence[str], tasks: Sequence[Task], samples: str) -> list[Kept]:
    """Compute tasks in this process, each with the bundle and the samples of its device."""
    shelf = look(samples)
    outcomes = (
        shelf.put_back(task).compute(_desk(path, task.method))
        for path, task in zip(paths, tasks, strict=True)
    )
    return keep(outcomes, samples)


@lru_cache(DESKS)
def _desk(path: str, method: Method) -> Desk:
    return Desk(Student(read_bundle(path)), method.losses)


def _same(foreseen: Task, task: Task) -> bool:
    """Whether a task is the one that was foreseen; what is shared is known by its identity."""
    return (
        foreseen.theta is task.theta
        and foreseen.knowledge is task.knowledge
        and foreseen.round.number == task.round.number
        and foreseen.round.acknowledged == task.round.acknowledged
    )
