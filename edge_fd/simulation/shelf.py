"""Samples and outcomes of simulated devices on disk, for processes that compute elsewhere.

A process maps the samples once, instead of being sent them with every task.
Outcomes stay here: of thousands of devices that were asked at one instant most
wait, and weights are looked at once in a round. What nobody looks at takes no memory.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from mmap import ACCESS_READ, PAGESIZE, mmap
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import numpy as np

from edge_fd.desk import Kind, Work
from edge_fd.requests import Samples
from edge_fd.task import Computed, Task

ALIGNED = 64
"""Arrays begin at multiples of so many bytes, so that they can be used where they lie."""
_NONE = Samples(np.empty(0))


@dataclass(frozen=True)
class Shelf:
    """The private samples of devices, by name, and the proxy samples."""

    private: Mapping[str, Samples]
    proxy: Samples | None

    def put_back(self, task: Task) -> Task:
        """Undo :func:`without_samples`."""
        device = task.device
        proxy = None if device.proxy is None else self.proxy
        return replace(task, device=replace(device, private=self.private[device.name], proxy=proxy))


@dataclass(frozen=True)
class Kept:
    """An outcome in a file of several: what virtual time needs of it, and where the rest is.

    ``spans`` are first and last byte of its pickle and of each large array's data.
    """

    asked: tuple[tuple[Kind, Work], ...]
    loss: float | None
    path: str
    spans: tuple[tuple[int, int], ...]

    def take(self, mapped: mmap) -> Computed:
        """Return the outcome; its large arrays lie, read-only, in the file that is ``mapped``."""
        view = memoryview(mapped)
        pickled, *buffers = (view[start:end] for start, end in self.spans)
        outcome: Computed = pickle.loads(  # noqa: S301 - written below, in our own folder
            pickled, buffers=buffers
        )
        return outcome


def keep(outcomes: Iterable[Computed], folder: str) -> list[Kept]:
    """Write outcomes to one file."""
    kept = []
    with NamedTemporaryFile(dir=folder, prefix="outcomes-", delete=False) as file:
        for outcome in outcomes:
            large: list[memoryview] = []
            pickled = pickle.dumps(
                outcome, pickle.HIGHEST_PROTOCOL, buffer_callback=partial(_stays, large)
            )
            parts: list[bytes | memoryview] = [pickled, *large]
            spans = tuple(_append(file, data) for data in parts)
            kept.append(Kept(outcome.asked, outcome.loss, file.name, spans))
    return kept


def _stays(large: list[memoryview], buffer: pickle.PickleBuffer) -> bool:
    """Whether an array stays in the pickle: a look at a small one would bring in the large ones."""
    data = buffer.raw()
    if data.nbytes >= PAGESIZE:
        large.append(data)
    return data.nbytes < PAGESIZE


def map_away(path: str) -> mmap:
    """Map a file and delete it: its bytes stay for as long as the map, or a view of it, does."""
    with Path(path).open("rb") as file:
        mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
    Path(path).unlink()
    return mapped


def _append(file: IO[bytes], data: bytes | memoryview) -> tuple[int, int]:
    start = -file.tell() % ALIGNED + file.tell()
    file.seek(start)
    file.write(data)
    return start, file.tell()


def without_samples(task: Task) -> Task:
    """The task as it is sent: without what lies on the shelf."""
    proxy = None if task.device.proxy is None else _NONE
    return replace(task, device=replace(task.device, private=_NONE, proxy=proxy))


def fill(folder: Path, private: Mapping[str, Samples], proxy: Samples | None) -> None:
    """Write the samples for :func:`look`."""
    ends = np.cumsum([len(samples) for samples in private.values()])
    np.savez(folder / "devices.npz", names=np.array(list(private), np.str_), ends=ends)
    _write(folder, "private", list(private.values()))
    if proxy is not None:
        _write(folder, "proxy", [proxy])


@lru_cache(1)
def look(folder: str) -> Shelf:
    """What :func:`fill` wrote, mapped and read-only."""
    with np.load(Path(folder, "devices.npz")) as told:
        names, ends = told["names"].tolist(), told["ends"].tolist()
    everything = _mapped(folder, "private")
    private = {}
    for name, start, end in zip(names, [0, *ends], ends, strict=False):
        y = None if everything.y is None else everything.y[start:end]
        private[name] = Samples(everything.x[start:end], y)
    proxy = _mapped(folder, "proxy") if Path(folder, "proxy_x.npy").exists() else None
    return Shelf(private, proxy)


def _write(folder: Path, what: str, parts: list[Samples]) -> None:
    first, total = parts[0], sum(len(part) for part in parts)
    columns = {"x": [part.x for part in parts]}
    if first.y is not None:
        columns["y"] = [part.labels for part in parts]
    for column, arrays in columns.items():
        shape = (total, *arrays[0].shape[1:])
        file = np.lib.format.open_memmap(
            folder / f"{what}_{column}.npy", "w+", arrays[0].dtype, shape
        )
        np.concatenate(arrays, out=file)
        file.flush()


def _mapped(folder: str, what: str) -> Samples:
    x = np.load(Path(folder, f"{what}_x.npy"), mmap_mode="r").view(np.ndarray)
    labels = Path(folder, f"{what}_y.npy")
    y = np.load(labels, mmap_mode="r").view(np.ndarray) if labels.exists() else None
    return Samples(x, y)
