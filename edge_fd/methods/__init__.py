"""The methods, one file each, and the way from a name to a method.

local     no exchange
fedavg    weights
fedprox   weights, held near the common ones
fedntd    weights, with what the common ones know of the wrong classes
fedgkd    weights, with the common ones as teacher
feddf     weights, distilled into one by the server
fd        label-wise mean outputs
fedproto  label-wise mean features
fedmd     logits on proxy data
fedakd    logits on mixed proxy data, the better device counting more
dsfl      soft labels on proxy data, sharpened
cfd       soft labels on proxy data, in a few bits

A wrapper changes when or how a method exchanges and is written before it:
``alu+fd``. A method of one's own is named by where Python finds it:
``package.module:Class``.

alu       exchange after some local rounds only
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.methods.base import Device, Method, Round, Server, configure

if TYPE_CHECKING:
    from edge_fd.methods.alu import ALU
    from edge_fd.methods.cfd import CFD
    from edge_fd.methods.dsfl import DSFL
    from edge_fd.methods.fd import FD
    from edge_fd.methods.fedakd import FedAKD
    from edge_fd.methods.fedavg import FedAvg
    from edge_fd.methods.feddf import FedDF
    from edge_fd.methods.fedgkd import FedGKD
    from edge_fd.methods.fedmd import FedMD
    from edge_fd.methods.fedntd import FedNTD
    from edge_fd.methods.fedproto import FedProto
    from edge_fd.methods.fedprox import FedProx
    from edge_fd.methods.local import Local


_METHODS = {
    "local": "Local",
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedntd": "FedNTD",
    "fedgkd": "FedGKD",
    "feddf": "FedDF",
    "fd": "FD",
    "fedproto": "FedProto",
    "fedmd": "FedMD",
    "fedakd": "FedAKD",
    "dsfl": "DSFL",
    "cfd": "CFD",
}
_WRAPPERS = {"alu": "ALU"}


class _Classes(Mapping[str, type[Any]]):
    """Classes by the name of their file, which is read when it is asked for: a board wants one."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> type[Any]:
        attribute = self._names[name]
        found: type[Any] = getattr(import_module(f"{__name__}.{name}"), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


METHODS: Mapping[str, type[Method]] = _Classes(_METHODS)
WRAPPERS: Mapping[str, type[ALU]] = _Classes(_WRAPPERS)

__all__ = [
    "ALU",
    "CFD",
    "DSFL",
    "FD",
    "METHODS",
    "WRAPPERS",
    "Device",
    "FedAKD",
    "FedAvg",
    "FedDF",
    "FedGKD",
    "FedMD",
    "FedNTD",
    "FedProto",
    "FedProx",
    "Local",
    "Method",
    "Round",
    "Server",
    "create",
    "find",
]


def __getattr__(name: str) -> Any:
    for key, found in {**_METHODS, **_WRAPPERS}.items():
        if found == name:
            return getattr(import_module(f"{__name__}.{key}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def create(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Build the method called ``name`` with ``settings``.

    Settings of a wrapper stand under its name: ``create("alu+fd", {"gamma": 0.5,
    "alu": {"rounds": 5}})``. Raises UnknownNameError for an unknown name or key
    and UsageError for a value out of range, each with the remedy.
    """
    values = dict(settings or {})
    outer, plus, inner = name.partition("+")
    if not plus:
        return configure(find(name), values)
    if outer not in WRAPPERS:
        raise UnknownNameError("wrapper of a method", outer, WRAPPERS)
    own = values.pop(outer, {})
    return WRAPPERS[outer].around(create(inner, values), own)


def find(name: str) -> type[Method]:
    """Return the class of a method that is no wrapper; raise UsageError for what is none."""
    if ":" in name:
        return _own(name)
    if name in WRAPPERS:
        raise UsageError(f"{name!r} wraps a method; write it before one, as in '{name}+fd'")
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]


def _own(path: str) -> type[Method]:
    module, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # appended, so that nothing of the user's hides an installed package
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"method {path!r} cannot be loaded ({error}); give package.module:Class, installed"
            f" or in {here}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UsageError(
            f"method {path!r} is no method; let the class inherit from edge_fd.methods.Method"
        )
    return found
