"""A method around another: what it does not change is the inner method's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from edge_fd.knowledge import Array, Knowledge
from edge_fd.losses import Loss
from edge_fd.methods.base import (
    Device,
    DeviceHalf,
    Memory,
    Method,
    Round,
    Server,
    ServerHalf,
    configure,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_FACTS = (
    "kind",
    "losses",
    "needs_proxy",
    "proxy_whole",
    "proxy_at_server",
    "needs_training",
    "same_student",
    "same_features",
    "server_learns",
    "server_per_student",
    "judges",
    "least_devices",
)


@dataclass(frozen=True)
class Wrapper(Method):
    """Base of the wrappers; a subclass adds settings and replaces one half or both."""

    kind: ClassVar[str | None] = None
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType({})

    inner: Method | None = None

    def __post_init__(self) -> None:
        # What a class says of its methods, this one instance says of its inner method.
        for fact in _FACTS:
            object.__setattr__(self, fact, getattr(self.method, fact))
        object.__setattr__(self, "name", f"{type(self).name}+{self.method.name}")

    def __reduce__(self) -> tuple[Any, ...]:
        # The facts are set anew by whoever loads it: class facts need not be picklable.
        return type(self), tuple(getattr(self, item.name) for item in fields(self))

    @classmethod
    def around(cls, inner: Method, settings: Mapping[str, Any]) -> Self:
        """Return this wrapper with its own ``settings`` around ``inner``."""
        made = configure(cls, settings, inner=inner)
        if not isinstance(made, cls):
            raise TypeError(f"configure gave {type(made).__name__}, not {cls.__name__}")
        return made

    @property
    def method(self) -> Method:
        """The inner method."""
        if self.inner is None:
            raise TypeError(f"{type(self).__name__} needs a method to wrap")
        return self.inner

    @property
    def needs_proxy_labels(self) -> bool:
        """As the inner method."""
        return self.method.needs_proxy_labels

    @property
    def needs_validation(self) -> bool:
        """As the inner method."""
        return self.method.needs_validation

    @property
    def same_round(self) -> bool:
        """As the inner method."""
        return self.method.same_round

    @property
    def path(self) -> str:
        """The wrapper's name before the path of the inner method."""
        return f"{type(self).name}+{self.method.path}"

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """As the inner method."""
        return self.method.device_round(device, round, knowledge)

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """As the inner method."""
        return self.method.fuse(server, round, uploads)

    def objection(self, knowledge: Knowledge, *, device: str, classes: int, memory: Memory) -> str:
        """As the inner method."""
        return self.method.objection(knowledge, device=device, classes=classes, memory=memory)

    def symbols(self, classes: int) -> int:
        """As the inner method."""
        return self.method.symbols(classes)

    def judge(self, memory: Memory, outputs: Array) -> Array:
        """As the inner method."""
        return self.method.judge(memory, outputs)

    def settings(self) -> dict[str, Any]:
        """The inner method's settings, and the wrapper's under its name."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "inner"}
        return {**self.method.settings(), type(self).name: own}

    def fingerprint(self) -> bytes:
        """Return 8 bytes over the wrapper and the inner method."""
        text = super().fingerprint() + self.method.fingerprint()
        return hashlib.sha256(text).digest()[:8]
