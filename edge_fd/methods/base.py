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
from edge_fd.losses import Loss, code_text
from edge_fd.requests import Request, Samples
from edge_fd.streams import stream

Capability: TypeAlias = Literal["train", "infer"]
Memory: TypeAlias = dict[str, npt.NDArray[Any]]
DeviceHalf: TypeAlias = Generator[Request, Any, Knowledge | None]
ServerHalf: TypeAlias = Generator[Request, Any, Fused]


@dataclass(frozen=True)
class Round:
    """Facts of a round, equal on all sides but for what is known on one side only.

    ``number`` counts from 1, ``indices`` are the proxy samples it asks about
    (None: all), ``seed`` is the run's, ``after`` the round whose outcome this
    one builds on (0: none). A device half sees ``acknowledged``, the last round
    whose contribution of this device the aggregator is known to have accepted
    (0: none), and ``repeat``, from 0, where a schedule lets it go through the
    round several times for one exchange. Of ``buffered`` rounds a server half
    sees the ``staleness``: for each upload how many rounds ago its device was
    asked, at most ``max_staleness``.
    """

    number: int
    indices: Exact | None = None
    seed: int = 0
    after: int = 0
    acknowledged: int = 0
    repeat: int = 0
    buffered: bool = False
    staleness: Mapping[str, int] = field(default_factory=dict)
    max_staleness: int = 0

    def stream(self, purpose: str) -> np.random.Generator:
        """Draws that all devices and the server share in this round, without a byte sent."""
        return stream(self.seed, "round", self.number, purpose)


@dataclass(frozen=True)
class Device:
    """What a device half may see: its data and what it keeps across rounds.

    ``memory`` holds named arrays and is saved together with the weights.
    ``features`` is the width of its student's features; the last ``buffers``
    numbers of its weights are statistics of batch norm and not trained.
    """

    name: str
    classes: int
    capability: Capability
    private: Samples
    proxy: Samples | None
    memory: Memory = field(default_factory=dict)
    features: int = 0
    buffers: int = 0


@dataclass(frozen=True)
class Server:
    """What a server half may see. ``has_student``: it may yield requests.

    ``validation`` are labelled samples of the server's own, where the scenario
    holds some out. ``groups`` names for each device the server's student of its
    architecture, for methods that want one of each; empty: all are ``""``.
    """

    classes: int
    proxy: Samples | None
    has_student: bool
    memory: Memory = field(default_factory=dict)
    validation: Samples | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Method(ABC):
    """Base of the methods; a subclass adds settings as dataclass fields.

    Class facts: ``kind`` of the knowledge it uploads (None: it uploads none),
    ``needs_proxy``, ``needs_proxy_labels``, ``proxy_whole`` (all of it in each
    round), ``proxy_at_server`` (and not on devices), ``needs_training`` (every
    device must be able to train), ``same_student`` (all devices one architecture),
    ``same_features`` (all devices one width of features), ``server_learns``
    (its server half uses a student where there is one), ``server_per_student``
    (one for each architecture among the devices), ``judges`` (on what
    :meth:`judge` decides when a device is evaluated).
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    kind: ClassVar[str | None]
    losses: ClassVar[Mapping[str, Loss]]
    needs_proxy: ClassVar[bool] = False
    proxy_whole: ClassVar[bool] = False
    proxy_at_server: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    same_student: ClassVar[bool] = False
    same_features: ClassVar[bool] = False
    server_learns: ClassVar[bool] = False
    server_per_student: ClassVar[bool] = False
    judges: ClassVar[Literal["logits", "features"]] = "logits"
    least_devices: ClassVar[int] = 1

    @property
    def needs_proxy_labels(self) -> bool:
        """Whether devices need the labels of the proxy set."""
        return False

    @property
    def needs_validation(self) -> bool:
        """Whether the server needs labelled samples of its own."""
        return False

    @property
    def same_round(self) -> bool:
        """Whether what is fused together must answer one and the same round."""
        return False

    @abstractmethod
    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """Yield requests; return the knowledge to publish, None for none."""

    @abstractmethod
    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """Yield requests; return what goes back. ``uploads`` is in the order of device names."""

    def objection(self, knowledge: Knowledge, *, device: str, classes: int, memory: Memory) -> str:  # noqa: ARG002
        """Why an upload of the right kind and shape must be refused all the same; empty: not.

        ``memory`` is the server half's, as the last fusion left it.
        """
        return ""

    def symbols(self, classes: int) -> int:  # noqa: ARG002
        """How many symbols an upload of kind ``symbols`` holds for each proxy sample."""
        return 0

    def judge(self, memory: Memory, outputs: Array) -> Array:  # noqa: ARG002
        """Scores (n, classes) whose largest is the answer, from logits or features (n, ...)."""
        return outputs

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    @property
    def path(self) -> str:
        """What :func:`edge_fd.methods.create` finds this method by, on another machine too."""
        home = type(self).__module__
        known = home.startswith("edge_fd.methods.")
        return self.name if known else f"{home}:{type(self).__qualname__}"

    def fingerprint(self) -> bytes:
        """Return 8 bytes over name, settings and source: equal on all sides of a run."""
        text = f"{self.name}{sorted(self.settings().items())}{_source(type(self))}"
        return hashlib.sha256(text.encode()).digest()[:8]


def _source(cls: type[Method]) -> str:
    """The file of a class; of one typed at a prompt, the code that became of it."""
    module = sys.modules[cls.__module__]
    if getattr(module, "__file__", None):
        return inspect.getsource(module)
    own = sorted((name, value) for name, value in vars(cls).items() if inspect.isfunction(value))
    return "".join(f"{name}{code_text(value)}" for name, value in own)


def setting(
    default: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a setting of a method: its default, and its closed range or its choices."""
    return field(default=default, metadata={"least": least, "most": most, "choices": choices})


def configure(cls: type[Method], given: Mapping[str, Any], **fixed: Any) -> Method:
    """Build a method from settings of a file; raise UsageError with key, value and remedy.

    ``fixed`` are fields that no file sets.
    """
    known = {item.name: item for item in fields(cls) if item.name not in fixed}
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
    return cls(**values, **fixed)


def _check(key: str, value: Any, default: Any, limits: Mapping[str, Any]) -> None:
    wanted: type | tuple[type, ...] = type(default)
    if wanted is float:
        wanted = (int, float)
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, wanted):
        raise UsageError(
            f"{key} = {value!r} must be a {type(default).__name__}, for example {default!r}"
        )
    choices = limits.get("choices")
    if choices and value not in choices:
        raise UnknownNameError(f"value of {key}", str(value), choices)
    if isinstance(value, int | float):
        _check_range(key, value, default, limits)


def _check_range(key: str, value: float, default: Any, limits: Mapping[str, Any]) -> None:
    least, most = limits.get("least"), limits.get("most")
    # An integer of a file may be beyond what a float can hold.
    top = sys.float_info.max
    if isinstance(default, float) and not -top <= value <= top:
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
