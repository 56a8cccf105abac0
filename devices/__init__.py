"""What runs on a board: the bundle, the student in ONNX Runtime, profiles of real boards.

    bundle      one file with graphs, weights and golden arrays, verified before use
    preprocess  raw samples to the student's input
    student     train and predict with ONNX Runtime and numpy only
    profile     seconds and joules of known boards

Names are loaded at first use, so that importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devices.bundle import (
        Bundle,
        BundleError,
        Golden,
        GoldenStep,
        LossSignature,
        TrainingDefaults,
        read_bundle,
        write_bundle,
    )
    from devices.preprocess import Preprocess
    from devices.profile import DeviceProfile, load_profile, profile_names
    from devices.student import State, Step, Student, TrainingDiverged, TrainResult

__all__ = [
    "Bundle",
    "BundleError",
    "DeviceProfile",
    "Golden",
    "GoldenStep",
    "LossSignature",
    "Preprocess",
    "State",
    "Step",
    "Student",
    "TrainResult",
    "TrainingDefaults",
    "TrainingDiverged",
    "load_profile",
    "profile_names",
    "read_bundle",
    "write_bundle",
]

_MODULES = {
    "Bundle": "bundle",
    "BundleError": "bundle",
    "DeviceProfile": "profile",
    "Golden": "bundle",
    "GoldenStep": "bundle",
    "LossSignature": "bundle",
    "Preprocess": "preprocess",
    "State": "student",
    "Step": "student",
    "Student": "student",
    "TrainResult": "student",
    "TrainingDefaults": "bundle",
    "TrainingDiverged": "student",
    "load_profile": "profile",
    "profile_names": "profile",
    "read_bundle": "bundle",
    "write_bundle": "bundle",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
