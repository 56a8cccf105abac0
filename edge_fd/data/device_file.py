"""What one board holds, as one .npz file: ``edge-fd device --data FILE.npz``.

    x, y                  the board's private samples and their labels
    proxy_x [, proxy_y]   the shared proxy samples; absent where no method needs them
    test_x, test_y        test samples for the driver's evaluation; may be absent

All samples have one shape and dtype, before preprocessing. The order of the proxy
samples is part of the agreement between devices: messages name them by position.

Part of a device's import path: numpy and the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fd.data.arrays import labels, read_arrays, samples
from edge_fd.errors import UsageError
from edge_fd.requests import Samples


@dataclass(frozen=True, eq=False)
class DeviceData:
    """The samples of one device; ``proxy`` and ``test`` may have zero rows."""

    private: Samples
    proxy: Samples
    test: Samples


def write_device_npz(path: str | Path, data: DeviceData) -> None:
    """Write ``data`` as a compressed .npz, replacing ``path`` in one step.

    The same data gives the same bytes.
    """
    path = Path(path)
    arrays = {
        "x": data.private.x,
        "y": data.private.y,
        "proxy_x": data.proxy.x,
        "proxy_y": data.proxy.y,
        "test_x": data.test.x,
        "test_y": data.test.y,
    }
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{k: v for k, v in arrays.items() if v is not None}
        )
    part.replace(path)


def read_device_npz(path: str | Path, *, classes: int | None = None) -> DeviceData:
    """Read the file of one board.

    With ``classes`` (the bundle says how many), labels must be below it. Raises
    :class:`UsageError` that names the file, the key, what was found and the remedy.
    """
    path = Path(path)
    arrays = read_arrays(
        path, required=("x", "y"), optional=("proxy_x", "proxy_y", "test_x", "test_y")
    )
    x = samples(path, arrays, "x")

    private = Samples(x, labels(path, arrays, "y", of="x", classes=classes))
    for key, other in (("test_x", "test_y"), ("test_y", "test_x"), ("proxy_y", "proxy_x")):
        if key in arrays and other not in arrays:
            raise UsageError(f"{path}: has {key!r} but not {other!r}; add it")
    proxy, test = private.take(np.empty(0, np.int64)), private.take(np.empty(0, np.int64))
    if "proxy_x" in arrays:
        proxy = Samples(samples(path, arrays, "proxy_x", like=x))
    if "proxy_y" in arrays:
        proxy = Samples(proxy.x, labels(path, arrays, "proxy_y", of="proxy_x", classes=classes))
    if "test_x" in arrays:
        test = Samples(
            samples(path, arrays, "test_x", like=x),
            labels(path, arrays, "test_y", of="test_x", classes=classes),
        )
    return DeviceData(private, proxy, test)
