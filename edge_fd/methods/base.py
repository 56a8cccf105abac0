"""What every method is: settings, losses, a device half and a server half.

Both halves are generators of requests (:mod:`edge_fd.requests`). They never
learn whether a board, a server or the simulator answers, and are never
resumed: after a crash a round starts again from its saved state and gives the
same bytes.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.knowledge import Array, Exact, Fused, Knowledge
from edge_fd.losses import Loss
from edge_fd.requests import Request, Samples

Capability: TypeAlias = Literal["train", "infer"]
Memory: TypeAlias = dict[str, npt.NDArray[Any]]
DeviceHalf: TypeAlias = Generator[Request, Any, Knowledge | None]
ServerHalf: TypeAlias = Generator[Request, Any, Fused]


@dataclass(frozen=True)
class Round:
    """Facts of a round: its number from 1 and the proxy samples it asks about (None: all)."""

    number: int
    indices: Exact | None = None


@dataclass(frozen=True)
class Device:
    """What a device half may see: its data and what it keeps across rounds.

    ``memory`` holds named arrays and is saved together with the weights.
    """

    name: str
    classes: int
    capability: Capability
    private: Samples
    proxy: Samples | None
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """What a server half may see. ``has_student``: it may yield requests."""

    classes: int
    proxy: Samples | None
    has_student: bool
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class Method(ABC):
    """Base of the methods; a subclass adds settings as dataclass fields.

    Class facts: ``kind`` of the knowledge it uploads (None: it uploads none),
    ``needs_proxy``, ``needs_proxy_labels``, ``needs_training`` (every device
    must be able to train), ``same_student`` (all devices one architecture),
    ``server_learns`` (its server half uses a student where there is one).
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    kind: ClassVar[str | None]
    losses: ClassVar[Mapping[str, Loss]]
    needs_proxy: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    same_student: ClassVar[bool] = False
    server_learns: ClassVar[bool] = False
    least_devices: ClassVar[int] = 1

    @property
    def needs_proxy_labels(self) -> bool:
        """Whether devices need the labels of the proxy set."""
        return False

    @abstractmethod
    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Yield requests; return the knowledge to publish, None for none."""

    @abstractmethod
    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """Yield requests; return what goes back. ``uploads`` is in the order of device names."""

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    def fingerprint(self) -> bytes:
        """Return 8 bytes over name, settings and source file: equal on all sides of a run."""
        source = inspect.getsource(sys.modules[type(self).__module__])
        text = f"{self.name}{sorted(self.settings().items())}{source}"
        return hashlib.sha256(text.encode()).digest()[:8]


def setting(default: Any, *, least: float | None = None, most: float | None = None) -> Any:
    """Declare a setting of a method with its default and closed range."""
    return field(default=default, metadata={"least": least, "most": most})


def configure(cls: type[Method], given: Mapping[str, Any]) -> Method:
    """Build a method from settings of a file; raise UsageError with key, value and remedy."""
    known = {item.name: item for item in fields(cls)}
    for key, value in given.items():
        if key not in known:
            raise UnknownNameError(f"setting of method {cls.name}", key, known)
        default = known[key].default
        if default is MISSING:  # pragma: no cover - every setting has a default
            continue
        _check(f"method.{cls.name}.{key}", value, default, known[key].metadata)
    values = {
        key: float(value) if isinstance(known[key].default, float) else value
        for key, value in given.items()
    }
    return cls(**values)


def _check(key: str, value: Any, default: Any, limits: Mapping[str, Any]) -> None:
    wanted: type | tuple[type, ...] = type(default)
    if wanted is float:
        wanted = (int, float)
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, wanted):
        raise UsageError(
            f"{key} = {value!r} must be a {type(default).__name__}, for example {default!r}"
        )
    least, most = limits.get("least"), limits.get("most")
    # An integer of a file may be beyond what a float can hold.
    top = sys.float_info.max
    if isinstance(default, float) and isinstance(value, int | float) and not -top <= value <= top:
        raise UsageError(f"{key} must be finite; give a number, for example {default!r}")
    if (least is not None and value < least) or (most is not None and value > most):
        raise UsageError(f"{key} = {value!r} is out of range; allowed: {_span(least, most)}")


def _span(least: float | None, most: float | None) -> str:
    if most is None:
        return f"{least} or more"
    return f"{most} or less" if least is None else f"{least} to {most}"


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Row-wise softmax in float64, so that every machine's driver agrees."""
    wide = np.asarray(logits, np.float64)
    powers = np.exp(wide - wide.max(-1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return shares


def mean(arrays: list[Array]) -> npt.NDArray[np.float64]:
    """Element-wise mean in float64, added in the order given."""
    total = np.zeros(arrays[0].shape, np.float64)
    for array in arrays:
        total += array
    return total / len(arrays)
