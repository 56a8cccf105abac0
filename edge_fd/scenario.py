"""A scenario: one TOML file that says everything about a run.

The same file drives the simulation and the deployment. Every section is a
model whose fields carry their unit in the name, a range and a default; every
error names the key, the value and the remedy.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from broker.errors import TopicError
from broker.topics import check_name
from edge_fd import methods, toml
from edge_fd.errors import UsageError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same library under its older name
    import tomli as tomllib


class Section(BaseModel):
    """Base of the sections: unknown keys are errors, values are not coerced from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(Section):
    """Which data, and how much of it is set apart."""

    name: str = "digits"
    path: str | None = None
    proxy: int = Field(400, ge=0)
    """Samples held out as the proxy set."""
    proxy_per_round: int | None = Field(None, ge=1)
    """Proxy samples asked about in one round; None: all."""
    validation: int = Field(0, ge=0)
    """Labelled samples held out for the server, for methods that select by accuracy."""
    test: int | None = Field(None, ge=1)
    """Test samples used; None: all."""


class SplitSection(Section):
    """Who holds which private samples."""

    kind: Literal["iid", "dirichlet", "group"] = "dirichlet"
    alpha: float = Field(0.5, gt=0)
    min_per_device: int = Field(10, ge=1)
    max_per_device: int | None = Field(None, ge=1)


class TrainingSection(Section):
    """How students train where a method does not say otherwise."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = Field(0.05, gt=0, le=100)
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of SGD; of Adam it is beta1."""
    lr_decay: float = Field(1.0, gt=0, le=1)
    """Each round's lr is the last one's times this."""
    batch: int = Field(32, ge=1)


class MethodSection(Section):
    """Which method, with settings of its own in ``[method.NAME]`` tables."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "fd"

    def settings(self, name: str) -> dict[str, Any]:
        """Return the settings of method ``name``; those of its wrappers under their names.

        The table of one's own ``package.module:Class`` bears the class's name.
        """
        tables = self.model_extra or {}
        *wrappers, inner = name.split("+")
        values = dict(tables.get(table_of(inner), {}))
        return values | {wrapper: dict(tables.get(wrapper, {})) for wrapper in wrappers}


class RoundsSection(Section):
    """How many rounds, and when one ends."""

    mode: Literal["synchronous", "buffered"] = "synchronous"
    """Whether all participants are waited for, or knowledge is fused as it comes in."""
    buffer: int | None = Field(None, ge=1)
    """Contributions that fill a buffered round; None: as many as half the devices."""
    max_staleness: int = Field(5, ge=0)
    """How many buffered rounds ago a device may have been asked for its contribution to count.

    Devices whose computing takes longer than so many buffers, and one, always come too late."""
    count: int = Field(10, ge=1)
    deadline_s: float = Field(300.0, gt=0)
    quorum: float = Field(1.0, gt=0, le=1)
    """Share of the participants without whom a round fails."""
    participation: float = Field(1.0, gt=0, le=1)
    """Share of the devices asked in a round."""
    join_s: float = Field(60.0, gt=0)
    """How long the first round waits for devices to appear."""
    remind_s: float = Field(30.0, gt=0)
    """When silent participants are reminded."""
    resend_s: float = Field(10.0, gt=0)
    """When a device sends an unanswered upload again."""
    jitter_s: float = Field(0.0, ge=0)
    """Each upload waits a time drawn from 0 to this, so that the fleet does not answer at once."""
    evaluate_every: int = Field(1, ge=1)


class DevicesSection(Section):
    """A group of equal devices."""

    count: int = Field(ge=1)
    student: str
    name: str | None = None
    """Prefix of their names; None: after the student."""
    capability: Literal["train", "infer"] = "train"
    profile: str | None = "pi4"
    factory_epochs: int = Field(0, ge=0)
    """Epochs on their own data before deployment: how an infer-only device knows anything."""


class ServerSection(Section):
    """The aggregator's own student, for methods that train one; None: no student."""

    student: str | None = None


class TransportSection(Section):
    """How knowledge travels."""

    codec: str = "float32"


class ChannelSection(Section):
    """The radio of the simulation.

    Keys beside these are those of the model: of ``FdmaParameters``, of the preset, or the
    format and files of recorded links.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    model: Literal["ideal", "fdma", "preset", "replay"] = "fdma"
    preset: str | None = None
    """A radio technology in its surroundings; ``edge-fd channel`` lists them."""
    cell_devices: int | None = Field(None, ge=1)
    """Devices that share one station of a preset; None: all of them."""
    min_m: float = Field(2.0, gt=0)
    max_m: float = Field(50.0, gt=0)
    radio: str = "wifi_nic"
    """Radio of the fdma model, from the table of radio powers."""
    tcp: bool | None = None
    """Whether what the radio loses is sent again after TCP's time-outs; None: where there is IP."""
    broker_s: float = Field(0.0, ge=0)
    """Seconds for which each message keeps the broker busy; others wait in line."""

    @model_validator(mode="before")
    @classmethod
    def _preset_is_a_model(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and "preset" in tree and "model" not in tree:
            return {**tree, "model": "preset"}
        return tree


class MobilitySection(Section):
    """Where the devices of a preset are, around a station at 0, 0, and how they move."""

    model: Literal["none", "random_waypoint", "gauss_markov", "trace"] = "none"
    places: str | None = None
    """A CSV file of name, x_m, y_m: devices that stay there."""
    trace: str | None = None
    """A CSV file of time_s, name, x_m, y_m."""
    min_speed_m_s: float = Field(0.5, gt=0)
    max_speed_m_s: float = Field(1.5, gt=0)
    pause_s: float = Field(0.0, ge=0)
    """Of a random waypoint, at each point."""
    memory: float = Field(0.85, ge=0, le=1)
    """Of the velocity of Gauss-Markov, over a second."""
    update_s: float = Field(1.0, gt=0)
    """How often the losses follow the places."""


class DropoutSection(Section):
    """Mean up and down times; None: never down. A device that is down loses its round."""

    link_up_s: float | None = Field(None, gt=0)
    link_down_s: float | None = Field(None, gt=0)
    device_up_s: float | None = Field(None, gt=0)
    device_down_s: float | None = Field(None, gt=0)
    device_law: Literal["markov", "weibull", "diurnal"] = "markov"
    """Law of the device's periods: exponential, heavy-tailed up times, or by the hour."""
    device_shape: float = Field(0.7, gt=0)
    """Of the Weibull law; below 1 is heavy-tailed."""
    device_swing: float = Field(0.6, ge=0, le=1)
    """Of the diurnal law: how much the rate of coming up swings over the day."""
    device_trace: str | None = None
    """A file of recorded phones instead of a law; each device takes one and an hour by draw."""
    battery_j: float | None = Field(None, gt=0)


class Scenario(Section):
    """The whole file."""

    name: str = "run"
    seed: int = Field(0, ge=0)
    data: DataSection = DataSection()
    split: SplitSection = SplitSection()
    training: TrainingSection = TrainingSection()
    method: MethodSection = MethodSection()
    rounds: RoundsSection = RoundsSection()
    devices: tuple[DevicesSection, ...]
    server: ServerSection = ServerSection()
    transport: TransportSection = TransportSection()
    channel: ChannelSection = ChannelSection()
    mobility: MobilitySection = MobilitySection()
    dropout: DropoutSection = DropoutSection()

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read a TOML file; raise UsageError with file, key, value and remedy."""
        return cls.parse(load_tree(path), where=str(path))

    @classmethod
    def parse(cls, tree: Mapping[str, Any], *, where: str = "scenario") -> Scenario:
        """Validate a tree of plain values; raise UsageError as :meth:`load` does."""
        try:
            # As JSON, because pydantic's strict mode takes lists and tables from there alone.
            scenario = cls.model_validate_json(json.dumps(tree, default=str), strict=True)
        except ValidationError as error:
            raise UsageError(f"{where}: {_explain(error, cls)}") from None
        scenario.check_rest(where)
        return scenario

    def with_devices(self, total: int) -> Scenario:
        """Return the scenario with ``total`` devices, each group in its share of at least one."""
        counts = _shares([group.count for group in self.devices], total)
        groups = [
            group.model_copy(update={"count": count})
            for group, count in zip(self.devices, counts, strict=True)
        ]
        return self.model_copy(update={"devices": tuple(groups)})

    def device_names(self) -> dict[str, DevicesSection]:
        """Return the names of all devices in order, each with its group."""
        names: dict[str, DevicesSection] = {}
        for group in self.devices:
            prefix = group.name or group.student.rsplit(":", 1)[-1].replace("_", "-").lower()
            numbers = (f"{prefix}-{i:02d}" for i in range(10**6))
            fresh = (name for name in numbers if name not in names)
            names.update({next(fresh): group for _ in range(group.count)})
        return names

    def to_toml(self) -> str:
        """Return the resolved scenario as TOML: what a run folder keeps."""
        return toml.dumps(self.model_dump(exclude_none=True))

    def check_rest(self, where: str) -> None:
        """Check what concerns several keys; raise UsageError."""
        if not self.devices:
            raise UsageError(f"{where}: 'devices' is empty; add a [[devices]] table")
        self._check_radio(where)
        for name, settings in (self.method.model_extra or {}).items():
            if not isinstance(settings, dict):
                raise UsageError(
                    f"{where}: method.{name} = {settings!r} is no setting of [method], which holds"
                    f" 'name'; others stand in a table of the method, [method.{self.method.name}]"
                )
        try:
            check_name("run", self.name)
            for device in self.device_names():
                check_name("device", device)
            methods.create(self.method.name, self.method.settings(self.method.name))
            for table, settings in (self.method.model_extra or {}).items():
                self._check_table(table, settings)
        except (TopicError, UsageError) as error:
            raise UsageError(f"{where}: {error}") from None

    def _check_table(self, table: str, settings: Mapping[str, Any]) -> None:
        """Check a [method.NAME] table, be it of the method that is chosen or of another."""
        parts = self.method.name.split("+")
        if table in methods.WRAPPERS:
            methods.WRAPPERS[table].around(methods.create("local"), settings)
        elif table not in [table_of(part) for part in parts]:
            methods.create(table, settings)

    def _check_radio(self, where: str) -> None:
        pairs = (("link_up_s", "link_down_s"), ("device_up_s", "device_down_s"))
        for up, down in pairs:
            if (getattr(self.dropout, up) is None) != (getattr(self.dropout, down) is None):
                raise UsageError(f"{where}: dropout.{up} and dropout.{down} go together; give both")
        if self.dropout.device_trace is not None and self.dropout.device_up_s is not None:
            raise UsageError(
                f"{where}: dropout.device_trace and dropout.device_up_s exclude each other;"
                " leave one out"
            )
        moving = self.mobility.model != "none" or self.mobility.places is not None
        if moving and self.channel.preset is None:
            raise UsageError(f"{where}: mobility needs channel.preset; name a preset")
        if (self.mobility.model == "trace") != (self.mobility.trace is not None):
            raise UsageError(
                f"{where}: mobility.model = 'trace' and mobility.trace belong together; give both"
            )
        model, preset = self.channel.model, self.channel.preset
        if (model == "preset") != (preset is not None):
            raise UsageError(
                f"{where}: channel.model = {model!r} and channel.preset = {preset!r} do not fit;"
                " name a preset and leave out model, or leave out preset"
            )


def table_of(method: str) -> str:
    """Return the name of a method's [method.NAME] table."""
    return method.rpartition(":")[2]


def load_tree(path: str | Path) -> dict[str, Any]:
    """Read a TOML file as plain values; raise UsageError with the remedy."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"scenario {path}: {reason}; give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"scenario {path} is no TOML: {error}") from None


def parse_value(text: str) -> Any:
    """Read one TOML value; text that is none stands for itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _shares(counts: list[int], total: int) -> list[int]:
    if total < len(counts):
        raise UsageError(
            f"devices = {total} is fewer than the {len(counts)} groups of devices;"
            f" give at least {len(counts)}"
        )
    spare = total - len(counts)
    exact = [spare * count / sum(counts) for count in counts]
    shares = [math.floor(share) for share in exact]
    by_rest = sorted(range(len(counts)), key=lambda i: (shares[i] - exact[i], i))
    for i in by_rest[: spare - sum(shares)]:
        shares[i] += 1
    return [1 + share for share in shares]


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(model, first["loc"][:-1])
        return f"unknown key {path!r}{nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"{path!r} is missing; add it"
    if first["type"] == "model_type":
        return f"{path} = {first['input']!r} must be a table; write [{path}]"
    if first["type"] == "tuple_type":
        return f"{path} = {first['input']!r} must be tables; write [[{path}]]"
    message = first["msg"].replace("Input should", "it should")
    return f"{path} = {first['input']!r}: {message}"


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        model = inner if isinstance(inner, type) else model
    return list(model.model_fields)
