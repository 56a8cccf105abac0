"""Makes the bundles of a kit, each once.

A bundle's file is named after a hash of what went into it; one that is there
already is read and not made again, and then torch is not needed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.bundle import Bundle, read_bundle
from devices.contents import FORMAT
from devices.preprocess import Preprocess
from devices.student import Student
from edge_fd.data import Dataset
from edge_fd.desk import Desk
from edge_fd.errors import MissingExtraError
from edge_fd.losses import CROSS_ENTROPY, Loss
from edge_fd.methods.base import Capability, Method
from edge_fd.requests import Array, Samples, Train, one_hot
from edge_fd.scenario import Scenario
from edge_fd.streams import stream


@dataclass(frozen=True)
class FactoryTraining:
    """Training of one device's student on the host, with its own data, before deployment."""

    device: str
    samples: Samples
    epochs: int

    @property
    def facts(self) -> list[Any]:
        """What of it goes into the name of the bundle."""
        digest = hashlib.sha256(self.samples.x.tobytes())
        if self.samples.y is not None:
            digest.update(self.samples.y.tobytes())
        return [self.device, self.epochs, digest.hexdigest()]


class Workshop:
    """Bundles for one scenario, method and data set, in ``folder``."""

    def __init__(self, scenario: Scenario, method: Method, dataset: Dataset, folder: Path) -> None:
        self._scenario, self._method = scenario, method
        self._dataset, self._folder = dataset, folder
        self._made: dict[Path, Bundle] = {}
        self._trainers: dict[str, Desk] = {}

    def bundle(
        self, student: str, capability: Capability, *, factory: FactoryTraining | None = None
    ) -> tuple[Bundle, Path]:
        """Return the bundle of a student and its file.

        Equal students start from equal weights, drawn from the scenario's seed.
        """
        data = self._dataset
        facts = {
            "format": FORMAT,
            "student": student,
            "source": _own_source(student),
            "capability": capability,
            "method": self._method_facts(),
            "training": self._scenario.training.model_dump(),
            "losses": {name: loss.source_hash for name, loss in self._method.losses.items()},
            "data": [data.name, list(data.x.shape[1:]), data.classes, data.scale, data.offset],
            "factory": factory.facts if factory else None,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
        parts = [student.rsplit(":", 1)[-1].lower(), self._method.name, capability]
        name = "-".join([*parts, *([factory.device] if factory else []), key])
        path = self._folder / f"{name}.efdb"
        if path not in self._made:
            if not path.exists():
                self._write(path, student, capability, factory)
            self._made[path] = read_bundle(path)
        return self._made[path], path

    def _method_facts(self) -> dict[str, Any]:
        """What a device must know of the run: it never reads the scenario."""
        return {
            "name": self._method.name,
            "path": self._method.path,
            "settings": self._method.settings(),
            "fingerprint": self._method.fingerprint().hex(),
            "run": self._scenario.name,
            "seed": self._scenario.seed,
            "codec": self._scenario.transport.codec,
            "resend_s": self._scenario.rounds.resend_s,
            "jitter_s": self._scenario.rounds.jitter_s,
            "buffered": self._scenario.rounds.mode == "buffered",
            "evaluate_every": self._scenario.rounds.evaluate_every,
        }

    def _write(
        self, path: Path, student: str, capability: Capability, factory: FactoryTraining | None
    ) -> None:
        theta = None if factory is None else self._pretrained(student, factory)
        self._export(path, student, self._method.losses, capability, theta)

    def _pretrained(self, student: str, factory: FactoryTraining) -> Array:
        """Train on the host through the same exported step that a board would run."""
        desk = self._trainer(student)
        targets = {"y": one_hot(factory.samples.labels, desk.student.bundle.classes)}
        request = Train("local", factory.samples, targets, epochs=factory.epochs)
        rng = stream(self._scenario.seed, "device", factory.device, "factory")
        _, state = desk.answer(request, desk.student.initial, rng)
        return state.theta

    def _trainer(self, student: str) -> Desk:
        """Return the desk that trains a student on the host: equal ones begin alike, and share it.

        Its answers are pure, so that no device's training is seen by the next.
        """
        if student not in self._trainers:
            losses = {"local": CROSS_ENTROPY}
            with tempfile.TemporaryDirectory() as folder:
                bundle = self._export(Path(folder, "factory.efdb"), student, losses, "train", None)
            self._trainers[student] = Desk(Student(bundle), losses)
        return self._trainers[student]

    def _export(
        self,
        path: Path,
        student: str,
        losses: Mapping[str, Loss],
        capability: Capability,
        theta: Array | None,
    ) -> Bundle:
        try:
            from edge_fd import students
            from edge_fd.exporter import export_bundle
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "torch", "server") from None
        data, training = self._dataset, self._scenario.training
        shape = students.default_input_shape(student, data.x.shape[1:])
        seed = int(stream(self._scenario.seed, "initial", student).integers(2**31))
        try:
            module = students.build(student, shape, data.classes, seed=seed)
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "torch", "server") from None
        return export_bundle(
            path,
            student,
            losses,
            module=module,
            input_shape=shape,
            classes=data.classes,
            preprocess=Preprocess(data.scale, data.offset, shape),
            method=self._method_facts(),
            lr=training.lr,
            momentum=training.momentum,
            batch=training.batch,
            optimizer=training.optimizer,
            lr_decay=training.lr_decay,
            capability=capability,
            theta=theta,
        )


def _own_source(student: str) -> str | None:
    """Hash of the file that holds a user's own student, so that an edit makes a new bundle."""
    module, colon, _ = student.partition(":")
    if not colon:
        return None
    name = module.replace(".", "/")
    for root in [*sys.path, "."]:
        for path in (Path(root, f"{name}.py"), Path(root, name, "__init__.py")):
            if path.is_file():
                return hashlib.sha256(path.read_bytes()).hexdigest()
    return None
