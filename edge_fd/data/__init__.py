"""Data: loaders, splits over devices, and the file that a board reads.

dataset      what a data set is: training part, test part, groups, preprocessing
loading      the names of the data sets and where they are looked for
digits, idx, har, npz    one loader each
split        private parts, proxy part, test part
device_file  what one board holds, as one .npz
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_fd.data.dataset import Dataset
    from edge_fd.data.device_file import DeviceData, read_device_npz, write_device_npz
    from edge_fd.data.loading import DATASETS, load
    from edge_fd.data.splits import Split, device_data, label_counts, split

__all__ = [
    "DATASETS",
    "Dataset",
    "DeviceData",
    "Split",
    "device_data",
    "label_counts",
    "load",
    "read_device_npz",
    "split",
    "write_device_npz",
]

_HOME = {
    "DATASETS": "loading",
    "Dataset": "dataset",
    "DeviceData": "device_file",
    "Split": "splits",
    "device_data": "splits",
    "label_counts": "splits",
    "load": "loading",
    "read_device_npz": "device_file",
    "split": "splits",
    "write_device_npz": "device_file",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
