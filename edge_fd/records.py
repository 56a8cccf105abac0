"""What a run writes down: one record per closed round, one per device and round, a summary.

Plain values only, so that a line of JSON is a record and a column of Parquet
is a field. None means "not measured"; a zero is a measured or modelled zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["simulated", "deployed"]
Origin: TypeAlias = Literal["measured", "modelled", "not measured"]


@dataclass(frozen=True)
class Bytes:
    """Bytes of one direction, split by who causes them.

    ``payload`` are the coded arrays, ``envelope`` the rest of the frames,
    ``mqtt`` packet headers and acknowledgements, ``tcp_ip`` headers and
    acknowledgements below. ``paper_bits`` are the bits that the
    method's paper would count: of the knowledge alone, as it is written there.
    """

    payload: int = 0
    envelope: int = 0
    mqtt: int = 0
    tcp_ip: int = 0
    paper_bits: int = 0

    @property
    def on_air(self) -> int:
        """All bytes that cross the link: payload, envelope, MQTT, TCP and IP."""
        return self.payload + self.envelope + self.mqtt + self.tcp_ip

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(
            self.payload + other.payload,
            self.envelope + other.envelope,
            self.mqtt + other.mqtt,
            self.tcp_ip + other.tcp_ip,
            self.paper_bits + other.paper_bits,
        )


@dataclass(frozen=True)
class RoundRecord:
    """One round as the aggregator closed it; times in seconds since the run began."""

    round: int
    status: Literal["closed", "failed"]
    opened_s: float
    closed_s: float
    participants: int
    accepted: int
    late: int
    refused: int
    fused_sha256: str | None
    server_accuracy: float | None


@dataclass(frozen=True)
class DeviceRecord:
    """One device in one round.

    ``outcome``: accepted, late, refused, lost (no upload arrived) or absent
    (not asked, or of a buffered round: nothing of it came in). ``accuracy_test``
    is on the shared test part, ``accuracy_own`` the same predictions weighted
    to the device's own label mix; both None in rounds without evaluation.
    Seconds: ``down_s`` waiting for and receiving the announcement and
    knowledge, ``compute_s`` training and predicting, ``up_s`` from the end of
    computing to the receipt; ``train_s`` and ``predict_s`` are the parts of ``compute_s`` that the
    requests themselves took.
    Joules: None where not measured.
    """

    round: int
    device: str
    student: str
    capability: Literal["train", "infer"]
    profile: str | None
    outcome: Literal["accepted", "late", "refused", "lost", "absent"]
    accuracy_test: float | None
    accuracy_own: float | None
    loss: float | None
    up: Bytes
    down: Bytes
    down_s: float | None
    compute_s: float | None
    up_s: float | None
    compute_j: float | None
    tx_j: float | None
    rx_j: float | None
    idle_j: float | None
    attempts: int
    private_samples: int
    train_s: float | None = None
    predict_s: float | None = None
    lost_messages: dict[str, int] = field(default_factory=dict)
    """Messages, up and down, that the simulated radio lost for good, by its reason."""
    staleness: int = 0
    """How many buffered rounds ago the device was asked for what was accepted here."""


@dataclass(frozen=True)
class Summary:
    """One run in one record: what the table of a comparison prints.

    Accuracies are of the last evaluated round, means over devices. Bytes are
    per device over the whole run, means over devices. ``origins`` says of
    each group of numbers where it comes from.
    """

    run: str
    mode: Mode
    method: str
    seed: int
    devices: int
    rounds: int
    rounds_failed: int
    accuracy_test: float | None
    accuracy_own: float | None
    accuracy_server: float | None
    up: Bytes
    down: Bytes
    one_time_proxy_bytes: int
    one_time_bundle_bytes: int
    seconds_per_round: float
    joules_per_device: float | None
    origins: dict[str, Origin] = field(default_factory=dict)
    """Keys: accuracy, payload, on_air, seconds, joules."""
    lost_messages: dict[str, int] = field(default_factory=dict)
    """Messages that the simulated radio lost for good, by its reason, over all devices."""
