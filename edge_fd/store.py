"""What a device keeps on disk: who it is, and where it stands in its run.

identity.json   the instance (drawn once for this folder) and how often it was started
device.state    weights, momentum, memory and the encoded upload, one atomic file
lock            held while a process uses the folder
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.student import State
from edge_fd import snapshot
from edge_fd.errors import UsageError
from edge_fd.methods.base import Memory

if TYPE_CHECKING:
    from typing_extensions import Self

INSTANCE_BYTES = 8


@dataclass(frozen=True)
class Saved:
    """A device after round ``done``: weights, memory, and the upload that goes with them."""

    done: int
    upload: bytes
    state: State
    memory: Memory = field(default_factory=dict)


class DeviceStore:
    """The state folder of one device, as a context manager.

    ``run`` and ``bundle_id`` must be those of the folder's earlier use.
    """

    def __init__(self, folder: Path, *, run: str, bundle_id: str) -> None:
        self.folder = folder
        self.instance = b""
        self.session = 0
        self._run, self._bundle_id = run, bundle_id

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        snapshot.lock(
            self._lock,
            f"state folder {self.folder} is in use by another process;"
            " give each device its own --state",
        )
        try:
            self.load()  # a folder that is not ours is left as it is
            self._count_session()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()

    def load(self) -> Saved | None:
        """Return the state of the earlier life, None at the first start."""
        found = snapshot.load(self.folder / "device.state")
        if found is None:
            return None
        arrays, values = found
        for key, mine in (("run", self._run), ("bundle", self._bundle_id)):
            if values[key] != mine:
                raise UsageError(
                    f"state folder {self.folder} belongs to {key} {values[key]!r},"
                    f" not {mine!r}; give this device another --state, or remove the folder"
                )
        memory = {
            name.removeprefix("memory/"): array
            for name, array in arrays.items()
            if name.startswith("memory/")
        }
        state = State(arrays["theta"], arrays["opt"])
        return Saved(values["done"], values["upload"], state, memory)

    def save(self, saved: Saved) -> None:
        """Make ``saved`` durable, all of it or nothing."""
        arrays = {"theta": saved.state.theta, "opt": saved.state.opt}
        arrays |= {f"memory/{name}": np.asarray(array) for name, array in saved.memory.items()}
        values = {
            "run": self._run,
            "bundle": self._bundle_id,
            "done": saved.done,
            "upload": saved.upload,
        }
        snapshot.save(self.folder / "device.state", arrays, values)

    def _count_session(self) -> None:
        path = self.folder / "identity.json"
        known: dict[str, Any] = {"instance": uuid.uuid4().hex[: 2 * INSTANCE_BYTES], "session": 0}
        if path.exists():
            known = _identity(path)
        known["session"] += 1
        fresh = path.with_name("identity.json.new")
        with fresh.open("w") as file:
            json.dump(known, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        snapshot.sync_folder(self.folder)
        self.instance, self.session = bytes.fromhex(known["instance"]), known["session"]


def _identity(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {
            "instance": bytes.fromhex(known["instance"]).hex(),
            "session": int(known["session"]),
        }
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{path} is damaged; remove the state folder {path.parent} to start as a new device"
        ) from None
