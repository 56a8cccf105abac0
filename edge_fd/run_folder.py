"""A run on disk: what was asked for, what happened, and how it ended.

    scenario.toml                     the resolved scenario
    run.json                          facts of the run, versions, status
    rounds.jsonl, devices.jsonl       one record a line, appended while it runs
    summary.json, *.parquet           written at the end

``RunFolder`` writes, ``load_run`` reads. Other files in the folder (journal,
broker, report) belong to others and are left alone. A record counts from the
moment that its line has its newline, so a crash leaves a readable folder.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from edge_fd.errors import MissingExtraError, UsageError
from edge_fd.records import Bytes, DeviceRecord, RoundRecord, Summary

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TypeAlias

    from typing_extensions import Self

FORMAT = "edge-fd run"
VERSION = 1
PACKAGES = (
    *("edge-fd", "numpy", "onnxruntime", "paho-mqtt", "cbor2"),
    *("scipy", "simpy", "scikit-learn", "pydantic", "amqtt"),
    *("torch", "onnx", "pyarrow", "matplotlib"),
)

Record = TypeVar("Record", RoundRecord, DeviceRecord)
Key: TypeAlias = "tuple[int, str]"


@dataclass(frozen=True)
class Run:
    """A run as read back; ``summary`` is None while it has not finished."""

    path: Path
    facts: dict[str, Any]
    scenario: str
    rounds: tuple[RoundRecord, ...]
    devices: tuple[DeviceRecord, ...]
    summary: Summary | None

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.name


class RunFolder:
    """Writes the folder of one run; a context manager.

    Entering makes the folder or takes up an unfinished run in it, where a
    record that is already there is not written again. Leaving without
    :meth:`finish`, by an exception or not, sets the status ``interrupted``;
    a killed process leaves it at ``running``. Both can be taken up again.
    Raises :class:`UsageError` where the folder holds anything else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._facts = _open(self.path)
        self._write_facts()
        self._rounds = _Lines(self.path / "rounds.jsonl", RoundRecord)
        self._devices = _Lines(self.path / "devices.jsonl", DeviceRecord)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rounds.close()
        self._devices.close()
        if self._facts["status"] != "finished":
            self._facts["status"] = "interrupted"
            self._write_facts()

    @property
    def starts(self) -> int:
        """How often this run was started, this time included."""
        return int(self._facts["starts"])

    def start(self, scenario_toml: str, facts: Mapping[str, Any]) -> None:
        """Write the scenario and the facts, or check them when a run is taken up.

        ``facts`` must name ``mode``, ``method`` and ``seed``. The report also
        knows ``command`` (to repeat the run), ``scenario`` (its name), ``data``
        (one line), ``devices`` and ``rounds`` (planned numbers) and ``started``
        (date); further facts are kept and shown as they are. Versions and
        machine are added here. Raises :class:`UsageError` where the folder
        holds a run of another scenario, mode, method or seed.
        """
        identity = ("mode", "method", "seed")
        missing = [key for key in identity if key not in facts]
        if missing:
            raise ValueError(f"the facts of a run must name {', '.join(missing)}")
        scenario = self.path / "scenario.toml"
        if "mode" in self._facts:
            self._check_same(scenario_toml, {key: facts[key] for key in identity})
            self._facts["starts"] += 1
        else:
            _replace(scenario, scenario_toml)
            self._facts |= dict(facts) | _machine() | {"starts": 1}
        self._facts["status"] = "running"
        self._write_facts()

    def round(self, record: RoundRecord) -> None:
        """Append one closed round, unless this round is already there."""
        self._rounds.append(record)

    def device(self, *records: DeviceRecord) -> None:
        """Append devices of rounds in one go, each unless this pair is already there."""
        self._devices.append(*records)

    def finish(self, summary: Summary) -> None:
        """Write the summary and the Parquet tables; the run is then complete.

        Columns are the fields of the records, nested bytes flattened
        (``up_payload_bytes``). Raises :class:`MissingExtraError` without pyarrow.
        """
        _replace(self.path / "summary.json", _dumps(asdict(summary), indent=2) + "\n")
        _write_parquet(self.path / "rounds.parquet", RoundRecord, self._rounds.path)
        _write_parquet(self.path / "devices.parquet", DeviceRecord, self._devices.path)
        self._facts["status"] = "finished"
        self._write_facts()

    def _check_same(self, scenario_toml: str, identity: dict[str, Any]) -> None:
        for key, value in identity.items():
            if self._facts[key] != value:
                raise UsageError(
                    f"{self.path} holds an unfinished run with {key} {self._facts[key]!r}, not"
                    f" {value!r}; name another folder or remove this one"
                )
        if (self.path / "scenario.toml").read_text(encoding="utf-8") != scenario_toml:
            raise UsageError(
                f"{self.path} holds an unfinished run of another scenario"
                " (see its scenario.toml); name another folder or remove this one"
            )

    def _write_facts(self) -> None:
        _replace(self.path / "run.json", _dumps(self._facts, indent=2) + "\n")


def load_run(path: str | Path) -> Run:
    """Read the folder of a run, finished or not.

    Raises :class:`UsageError` where it is no run, or where a record other than
    a last line cut off by a crash cannot be read.
    """
    path = Path(path)
    facts = _read_facts(path)
    if facts is None:
        raise UsageError(f"{path} is not a run: it has no run.json; name the folder of a run")
    if "mode" not in facts:
        raise UsageError(f"{path} holds a run that never started; run it, or remove the folder")
    scenario = path / "scenario.toml"
    summary = path / "summary.json"
    return Run(
        path=path.resolve(),
        facts=facts,
        scenario=scenario.read_text(encoding="utf-8") if scenario.exists() else "",
        rounds=tuple(_read_lines(path / "rounds.jsonl", RoundRecord)),
        devices=tuple(_read_lines(path / "devices.jsonl", DeviceRecord)),
        summary=_revive(Summary, json.loads(summary.read_text(encoding="utf-8")))
        if facts["status"] == "finished" and summary.exists()
        else None,
    )


class _Lines(Generic[Record]):
    """A file of JSON lines, opened for appending; knows which records it holds."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self.path = path
        self._written = {_key(record) for record in _read_lines(path, kind)}
        if path.exists():
            # A tail without newline is a record cut off by a crash: the next
            # record must not be glued to it.
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def append(self, *records: Record) -> None:
        lines = []
        for record in records:
            key = _key(record)
            if key not in self._written:
                self._written.add(key)
                lines.append(_line(record) + "\n")
        if lines:
            self._file.write("".join(lines))
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def _key(record: RoundRecord | DeviceRecord) -> Key:
    return record.round, record.device if isinstance(record, DeviceRecord) else ""


def _open(path: Path) -> dict[str, Any]:
    """Return the facts of the run to take up, or those of a new one."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; name a folder for the run")
    facts = _read_facts(path)
    if facts is None:
        if path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path} is not empty and holds no run; name a new or an empty folder")
        path.mkdir(parents=True, exist_ok=True)
        return {"format": FORMAT, "version": VERSION, "status": "opened"}
    if facts["status"] == "finished":
        raise UsageError(
            f"{path} holds a finished run; name another folder, or remove it to run again"
        )
    return facts


def _read_facts(path: Path) -> dict[str, Any] | None:
    """Return the facts in run.json, or None where there is none."""
    file = path / "run.json"
    if not file.is_file():
        return None
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is not JSON ({error}); name the folder of a run") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise UsageError(f"{file} was not written by edge-fd; name the folder of a run")
    if facts.get("version") != VERSION:
        raise UsageError(
            f"{file} has format version {facts.get('version')}, this edge-fd reads {VERSION};"
            " use the edge-fd that wrote it"
        )
    return facts


def _machine() -> dict[str, Any]:
    """Return the versions and the machine that the numbers depend on."""
    versions = {package: _version(package) for package in PACKAGES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": {package: version for package, version in versions.items() if version},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _dumps(value: object, *, indent: int | None = None) -> str:
    return json.dumps(_plain(value), allow_nan=False, ensure_ascii=False, indent=indent)


def _line(record: RoundRecord | DeviceRecord) -> str:
    """Return a record as one line of strict JSON."""
    try:
        return _ENCODER.encode(vars(record))
    except ValueError:  # JSON has no NaN and no infinity
        return _dumps(asdict(record))


def _inner(value: Any) -> Any:
    """Return what stands for a value within a record that is not JSON's own."""
    return _plain(value) if isinstance(value, np.generic) else vars(value)


_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, default=_inner)


def _plain(value: Any) -> Any:
    """Return a value of strict JSON; NaN and infinities become their names."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Path):
        return str(value)
    return value


Kind = TypeVar("Kind", RoundRecord, DeviceRecord, Summary)
TYPES: dict[type, dict[str, str]] = {
    kind: {column.name: str(column.type) for column in fields(kind)}
    for kind in (RoundRecord, DeviceRecord, Summary)
}
"""The type of each field, as it is written in the record."""


def _revive(kind: type[Kind], plain: dict[str, Any]) -> Kind:
    """Return the record whose fields ``plain`` holds; the inverse of writing it."""
    values = dict(plain)
    types = TYPES[kind]
    for name, value in plain.items():
        if isinstance(value, dict) and types.get(name) == "Bytes":
            values[name] = Bytes(**value)
        elif isinstance(value, str) and "float" in types.get(name, ""):
            values[name] = float(value)
    return kind(**values)


def _read_lines(path: Path, kind: type[Record]) -> list[Record]:
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_read_line(path, number, line, kind) for number, line in enumerate(lines, start=1)]


def _read_line(path: Path, number: int, line: bytes, kind: type[Record]) -> Record:
    try:
        return _revive(kind, json.loads(line))
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{path}, line {number} is no {kind.__name__} ({error});"
            " the file was changed after it was written: remove that line"
        ) from error


def _write_parquet(target: Path, kind: type[Record], lines: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "sim") from error
    arrow = {"int": pa.int64(), "float": pa.float64(), "Bytes": None}
    columns: dict[str, Any] = {}
    records = _read_lines(lines, kind)
    for column in fields(kind):
        values = [getattr(record, column.name) for record in records]
        if column.type == "dict[str, int]":
            for key in sorted({key for value in values for key in value}):
                counts = [value.get(key, 0) for value in values]
                columns[f"{column.name}_{key}"] = pa.array(counts, pa.int64())
        elif column.type == "Bytes":
            for part in fields(Bytes):
                unit = "" if part.name == "paper_bits" else "_bytes"
                columns[f"{column.name}_{part.name}{unit}"] = pa.array(
                    [getattr(value, part.name) for value in values], pa.int64()
                )
        else:
            plain_type = str(column.type).removesuffix(" | None")
            columns[column.name] = pa.array(values, arrow.get(plain_type, pa.string()))
    partial = target.with_suffix(".partial")
    parquet.write_table(pa.table(columns), partial)
    partial.replace(target)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, even where the machine goes down."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
