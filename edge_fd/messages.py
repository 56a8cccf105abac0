"""What our frames say: one function to make and one to read each message.

``docs/protocol.md`` lists the same keys for writers of other clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias, cast

from broker import topics
from broker.errors import FrameError
from broker.frame import CRC_BYTES, Frame, as_read, decode, encode_sized
from edge_fd.codecs import Codec, from_frame, paper_bits, to_frame
from edge_fd.knowledge import VALUE_OF_KIND, Exact, Knowledge
from edge_fd.ledger import message_bytes
from edge_fd.records import Bytes

Meta: TypeAlias = dict[str, Any]
LONGEST_INSTANCE_BYTES = 64
"""An instance is kept in the journal, so its length is bounded."""


@dataclass(frozen=True)
class Out:
    """A message to be published.

    ``cost`` is what it costs on a device's link, None for evaluation, which is
    not charged. ``round`` is the round to which it is charged. ``made`` is the
    frame in the payload as a reader would find it, where it was encoded here.
    """

    topic: str
    payload: bytes
    round: int
    cost: Bytes | None
    retain: bool = False
    made: Frame | None = None

    @property
    def device(self) -> str:
        """Whose link it crosses; empty for a broadcast."""
        return topics.parse(self.topic).device

    @property
    def leaf(self) -> str:
        """What it is about: the last part of its topic."""
        return topics.parse(self.topic).leaf

    @cached_property
    def frame(self) -> Frame:
        """The payload decoded, once for all who are handed this same message."""
        return self.made or decode(self.payload)

    @cached_property
    def piece(self) -> Knowledge | None:
        """The knowledge in it, once for all; raises FrameError where there is none."""
        return read_piece(self.frame)

    def light(self) -> Out:
        """This message for a driver that hands the frame over: of its bytes the checksum stays.

        Thousands of messages that wait for a radio would take the memory of their bytes.
        """
        return self if self.made is None else replace(self, payload=self.payload[-CRC_BYTES:])


@dataclass(frozen=True)
class Birth:
    """A device's first words in a session."""

    instance: bytes
    session: int
    capability: str
    student: str
    parameters: int
    method: bytes


@dataclass(frozen=True)
class AggregatorState:
    """The aggregator's retained state."""

    epoch: int
    online: bool
    method: bytes
    seed: int
    finished_after: int | None


def out(
    topic: str,
    frame: Frame,
    *,
    compress: bool = False,
    retain: bool = False,
    charged: bool = True,
    paper_bits: int = 0,
) -> Out:
    """Encode ``frame`` for ``topic`` and say what it costs."""
    payload, split = encode_sized(frame, compress=compress)
    cost = message_bytes(topic, payload, split=split, paper_bits=paper_bits)
    return Out(topic, payload, frame.round, cost if charged else None, retain, as_read(frame))


def piece(
    knowledge: Knowledge | None,
    codec: Codec,
    *,
    run: str,
    round: int,
    device: str,
    method: str,
) -> tuple[Frame, int]:
    """Frame a piece of knowledge (None: an upload without any); also its paper bits."""
    facts = {"run": run, "round": round, "device": device, "method": method}
    if knowledge is None:
        return Frame("done", **facts), 0  # type: ignore[arg-type]
    arrays, meta = to_frame(knowledge, codec)
    frame = Frame(knowledge.kind, arrays=arrays, meta=meta, **facts)  # type: ignore[arg-type]
    return frame, paper_bits(knowledge)


def read_piece(frame: Frame) -> Knowledge | None:
    """Undo :func:`piece`; raise FrameError for a kind that is no knowledge."""
    if frame.kind == "done":
        return None
    if frame.kind not in VALUE_OF_KIND:
        raise FrameError("kind", f"a frame of kind {frame.kind!r} holds no knowledge")
    return from_frame(frame.kind, frame.arrays, frame.meta)


def announce(
    *,
    run: str,
    round: int,
    device: str,
    after: int,
    left_s: float,
    indices: Exact | None,
) -> Frame:
    """A round is open: what it builds on, how long it stays open, which proxy samples."""
    arrays = {} if indices is None else {"indices": indices}
    meta = {"after": after, "left_s": round_seconds(left_s)}
    return Frame("announce", run=run, round=round, device=device, arrays=arrays, meta=meta)


def read_announce(frame: Frame) -> tuple[int, float, Exact | None]:
    """Return after, seconds left and indices of an announcement."""
    indices = frame.arrays.get("indices")
    if indices is not None and (indices.dtype.kind != "u" or indices.ndim != 1):
        raise FrameError(
            "dtype", f"indices must be one row of unsigned integers, got {indices.dtype}"
        )
    return want(frame, "after", int), want(frame, "left_s", float), cast("Exact | None", indices)


def birth(said: Birth, *, run: str, device: str) -> Frame:
    """A device is here."""
    meta: Meta = {
        "instance": said.instance,
        "session": said.session,
        "capability": said.capability,
        "student": said.student,
        "parameters": said.parameters,
        "method": said.method,
    }
    return Frame("birth", run=run, device=device, meta=meta)


def read_birth(frame: Frame) -> Birth:
    """Undo :func:`birth`."""
    capability = want(frame, "capability", str)
    if capability not in ("train", "infer"):
        raise FrameError("range", f"capability {capability!r}; known: train, infer")
    instance = want(frame, "instance", bytes)
    if not 0 < len(instance) <= LONGEST_INSTANCE_BYTES:
        raise FrameError("size", f"instance has {len(instance)} B; 1 to {LONGEST_INSTANCE_BYTES}")
    return Birth(
        instance,
        want(frame, "session", int),
        capability,
        want(frame, "student", str),
        want(frame, "parameters", int),
        want(frame, "method", bytes),
    )


def death(*, run: str, device: str, instance: bytes, session: int) -> Frame:
    """A device is gone: its last will, or its good-bye."""
    meta: Meta = {"instance": instance, "session": session}
    return Frame("death", run=run, device=device, meta=meta)


def refused(*, run: str, device: str, instance: bytes, session: int, reason: str) -> Frame:
    """One incarnation of a device is turned away."""
    meta: Meta = {"instance": instance, "session": session, "reason": reason}
    return Frame("refused", run=run, device=device, meta=meta)


def receipt(*, run: str, device: str, round: int, verdict: str, reason: str) -> Frame:
    """The answer to an upload."""
    meta = {"verdict": verdict, "reason": reason} if reason else {"verdict": verdict}
    return Frame("receipt", run=run, device=device, round=round, meta=meta)


def state(said: AggregatorState, *, run: str, method: str) -> Frame:
    """The aggregator's state, retained."""
    meta: Meta = {
        "epoch": said.epoch,
        "online": said.online,
        "method": said.method,
        "seed": said.seed,
    }
    if said.finished_after is not None:
        meta["finished_after"] = said.finished_after
    return Frame("state", run=run, method=method, meta=meta)


def read_state(frame: Frame) -> AggregatorState:
    """Undo :func:`state`."""
    after = frame.meta.get("finished_after")
    return AggregatorState(
        want(frame, "epoch", int),
        want(frame, "online", bool),
        want(frame, "method", bytes),
        want(frame, "seed", int),
        None if after is None else want(frame, "finished_after", int),
    )


def metrics(values: Mapping[str, float], *, run: str, round: int, device: str) -> Frame:
    """Evaluation and timings of a device; never charged."""
    return Frame("metrics", run=run, round=round, device=device, meta=dict(values))


def want(frame: Frame, key: str, kind: type[Any]) -> Any:
    """Return a value of the frame's meta; raise FrameError unless it is there and of ``kind``."""
    value = frame.meta.get(key)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise FrameError("key", f"{frame.kind}: {key!r} must be {kind.__name__}, got {value!r}")
    return value


def round_seconds(seconds: float) -> float:
    """Seconds to the millisecond, in the shortest form."""
    return round(seconds, 3)
