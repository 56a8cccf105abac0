"""A user's own data set: one .npz file.

x           (n, ...)  integers or floats; images as uint8 (n, height, width)
y           (n,)      integer labels 0, 1, 2, ...
group       (n,)      optional: who each sample came from, integers or strings
test_x, test_y        optional test part; without it a stratified fifth is drawn
proxy_x     (p, ...)  optional public data for the exchange, else held out of x
proxy_y     (p,)      optional labels of it
class_names (classes,) optional strings; also fixes the number of classes
scale, offset         optional numbers: a student sees x * scale + offset
                      (without them 1/255 and 0 for uint8, 1 and 0 otherwise)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge_fd.data.arrays import Array, Arrays, labels, read_arrays, samples
from edge_fd.data.dataset import Dataset
from edge_fd.data.sampling import hold_out
from edge_fd.errors import UsageError
from edge_fd.streams import stream

if TYPE_CHECKING:
    from pathlib import Path

TEST_FRACTION = 0.2
OPTIONAL = (
    "group",
    "test_x",
    "test_y",
    "proxy_x",
    "proxy_y",
    "class_names",
    "scale",
    "offset",
)


def load_npz(path: Path) -> Dataset:
    """Return the data set in ``path``; its name is the file's.

    The drawn test part depends on the labels alone, never on a run's seed. Raises
    :class:`UsageError` that names the file, the key, what was found and the remedy.
    """
    arrays = read_arrays(path, required=("x", "y"), optional=OPTIONAL)
    for label_key, key in (("test_y", "test_x"), ("test_x", "test_y"), ("proxy_y", "proxy_x")):
        if label_key in arrays and key not in arrays:
            raise UsageError(f"{path}: has {label_key!r} but not {key!r}; add it")
    x = samples(path, arrays, "x")
    if len(x) == 0:
        raise UsageError(f"{path}: key 'x' holds no sample; add some")
    names = _class_names(path, arrays)
    classes = len(names) or None
    y = labels(path, arrays, "y", of="x", classes=classes)
    whole = Dataset(
        name=path.stem,
        x=x,
        y=y,
        classes=classes or int(y.max()) + 1,
        test_x=x[:0],
        test_y=y[:0],
        group=_group(path, arrays),
        class_names=names or tuple(str(k) for k in range(int(y.max()) + 1)),
        scale=_number(path, arrays, "scale", 1 / 255 if x.dtype == np.uint8 else 1.0),
        offset=_number(path, arrays, "offset", 0.0),
    )
    return _with_test(path, arrays, _with_proxy(path, arrays, whole))


def _with_proxy(path: Path, arrays: Arrays, data: Dataset) -> Dataset:
    if "proxy_x" not in arrays:
        return data
    proxy_x = samples(path, arrays, "proxy_x", like=data.x)
    if "proxy_y" not in arrays:
        return replace(data, proxy_x=proxy_x)
    proxy_y = labels(path, arrays, "proxy_y", of="proxy_x", classes=data.classes)
    return replace(data, proxy_x=proxy_x, proxy_y=proxy_y)


def _with_test(path: Path, arrays: Arrays, data: Dataset) -> Dataset:
    if "test_x" in arrays:
        return replace(
            data,
            test_x=samples(path, arrays, "test_x", like=data.x),
            test_y=labels(path, arrays, "test_y", of="test_x", classes=data.classes),
        )
    kept, held = hold_out(data.y, TEST_FRACTION, stream(0, "npz", "test part"))
    return replace(
        data,
        x=data.x[kept],
        y=data.y[kept],
        test_x=data.x[held],
        test_y=data.y[held],
        group=None if data.group is None else data.group[kept],
    )


def _class_names(path: Path, arrays: Arrays) -> tuple[str, ...]:
    if "class_names" not in arrays:
        return ()
    value = arrays["class_names"]
    if value.dtype.kind != "U" or value.ndim != 1 or len(value) == 0:
        raise UsageError(
            f"{path}: key 'class_names' is {value.dtype} of shape {value.shape};"
            " it must be one string for each class"
        )
    return tuple(str(name) for name in value)


def _group(path: Path, arrays: Arrays) -> Array | None:
    if "group" not in arrays:
        return None
    value, count = arrays["group"], len(arrays["x"])
    if value.dtype.kind not in "uiU" or value.shape != (count,):
        raise UsageError(
            f"{path}: key 'group' is {value.dtype} of shape {value.shape};"
            f" it must be integers or strings of shape ({count},)"
        )
    return value


def _number(path: Path, arrays: Arrays, key: str, default: float) -> float:
    if key not in arrays:
        return default
    value = arrays[key]
    if value.shape != () or value.dtype.kind not in "uif" or not math.isfinite(value.item()):
        raise UsageError(
            f"{path}: key {key!r} is {value.dtype} of shape {value.shape};"
            " it must be one finite number"
        )
    return float(value.item())
