"""The methods, one file each, and the way from a name to a method.

local    no exchange
fedavg   weights
fd       label-wise mean outputs
fedmd    logits on proxy data
dsfl     soft labels on proxy data, sharpened
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edge_fd.errors import UnknownNameError
from edge_fd.methods.base import Device, Method, Round, Server, configure
from edge_fd.methods.dsfl import DSFL
from edge_fd.methods.fd import FD
from edge_fd.methods.fedavg import FedAvg
from edge_fd.methods.fedmd import FedMD
from edge_fd.methods.local import Local

METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {cls.name: cls for cls in (Local, FedAvg, FD, FedMD, DSFL)}
)

__all__ = [
    "DSFL",
    "FD",
    "METHODS",
    "Device",
    "FedAvg",
    "FedMD",
    "Local",
    "Method",
    "Round",
    "Server",
    "create",
]


def create(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Build the method called ``name`` with ``settings``.

    Raises UnknownNameError for an unknown name or key and UsageError for a
    value out of range, each with the remedy.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return configure(METHODS[name], settings or {})
