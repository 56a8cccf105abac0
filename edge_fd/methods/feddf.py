"""FedDF: weights travel, the server distils all models into one (Lin et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from edge_fd.errors import UsageError
from edge_fd.knowledge import Array, Fused, Knowledge
from edge_fd.losses import CROSS_ENTROPY, Loss, cross_entropy
from edge_fd.methods import weights
from edge_fd.methods.base import Round, Server, ServerHalf, mean, setting, softmax
from edge_fd.methods.fedavg import FedAvg
from edge_fd.methods.proxy import chosen
from edge_fd.requests import Load, Predict, Read, Request, Train

ABOVE_CHANCE = 1.2
"""Times chance that a model must be right; SCALING_FACTOR of the authors' aggregation/utils.py."""
_AVERAGED = "averaged/"


ADAM_BETA1 = 0.9
"""Kingma & Ba 2015; the devices' momentum is another matter."""


@dataclass(frozen=True)
class FedDF(FedAvg):
    """Devices as in FedAvg; the server's mean of the weights learns from all models together.

    The teacher of an unlabelled proxy sample is the softmax of the mean *logits*
    of all uploaded models, each counting the same (algorithm 1 and its line 9;
    ``avg_logits`` of the authors' code). The student minimises the KL divergence
    from it, without temperature: cross-entropy with the teacher, which differs
    by the teacher's entropy, a constant. Adam, gradients clipped to norm 5 and
    a rate annealed along a cosine to 0 are the authors'.

    Devices may have several architectures (algorithm 3): the server keeps a
    student of each, all learn from the one teacher, and a device gets that of
    its own. One of which no model came in a round stays as it was.

    ``server_steps`` are at most 10^4 in the paper, and end ``patience_steps``
    after the last gain in accuracy on the server's labelled samples
    (``data.validation``), looked at each ``check_steps``; the best of the models
    looked at is taken. Without such samples all steps run and the last model is
    taken, hence the default of one patience, as short as any of the paper's.
    ``server_lr`` and ``server_batch`` are the paper's.

    ``drop_worst`` leaves out models that guess, in the mean and as teachers:
    those right less than 1.2 times as often as by chance on the labelled
    samples. Where all guess, all stay.
    """

    name: ClassVar[str] = "feddf"
    paper: ClassVar[str] = "Lin et al., NeurIPS 2020, arXiv 2006.07242"
    losses: ClassVar[Mapping[str, Loss]] = MappingProxyType(
        {
            "local": CROSS_ENTROPY,
            "distil": Loss(
                cross_entropy,
                rows=("y",),
                distributions=("y",),
                optimizer="adam",
                clip_norm=5.0,
            ),
        }
    )
    needs_proxy: ClassVar[bool] = True
    proxy_at_server: ClassVar[bool] = True
    same_student: ClassVar[bool] = False
    server_per_student: ClassVar[bool] = True

    server_steps: int = setting(1000, least=1)
    server_batch: int = setting(128, least=1)
    server_lr: float = setting(1e-3, least=1e-8)
    check_steps: int = setting(100, least=1)
    patience_steps: int = setting(1000, least=1)
    drop_worst: bool = setting(default=False)

    @property
    def needs_validation(self) -> bool:
        """To tell the models that guess."""
        return self.drop_worst

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:
        """Average the weights of each architecture, then distil all models into each mean."""
        student_of = {name: server.groups.get(name, "") for name in uploads}
        kept = yield from self._without_worst(server, uploads, student_of)
        proxy = chosen(server.proxy, None)
        logits: list[Array] = []
        for name, upload in kept.items():
            logits.append((yield Predict(proxy, theta=upload.value, student=student_of[name])))
        teacher = softmax(mean(logits)).astype(np.float32)
        students = sorted(set(server.groups.values())) or [""]
        fused: dict[str, Knowledge] = {}
        for student in students:
            members = {name: kept[name] for name in kept if student_of[name] == student}
            if members:
                yield from weights.fuse(server, round, members, student=student)
                yield from self._distil(server, teacher, student)
                server.memory[f"{_AVERAGED}{student}"] = np.ones(1, np.uint8)
            # One that was never averaged knows less than its devices do.
            if f"{_AVERAGED}{student}" in server.memory:
                fused[student] = Knowledge("weights", (yield Read(student)))
        if len(students) == 1:  # one broadcast serves all
            return Fused(shared=fused[students[0]])
        devices = server.groups.items()
        return Fused(each={name: fused[student] for name, student in devices if student in fused})

    def _without_worst(
        self, server: Server, uploads: Mapping[str, Knowledge], student_of: Mapping[str, str]
    ) -> Generator[Request, Array, Mapping[str, Knowledge]]:
        if not self.drop_worst:
            return uploads
        if server.validation is None:
            raise UsageError(
                "method.feddf.drop_worst = true needs labelled samples of the server's and"
                " data.validation = 0; set data.validation, or leave drop_worst out"
            )
        kept = {}
        for name, upload in uploads.items():
            ask = Predict(server.validation, theta=upload.value, student=student_of[name])
            if (yield from _accuracy(ask)) >= ABOVE_CHANCE / server.classes:
                kept[name] = upload
        return kept or uploads

    def _distil(
        self, server: Server, teacher: Array, student: str
    ) -> Generator[Request, Array, None]:
        """Descend towards the teacher; the student takes the best weights, or else the last."""
        total, held = self.server_steps, server.validation
        falling = self.server_lr / 2 * (1 + np.cos(np.pi * np.arange(total) / total))
        stretch = total if held is None else self.check_steps
        best, best_accuracy, best_at = (yield Read(student)), -1.0, 0
        for begin in range(0, total, stretch):
            end = min(begin + stretch, total)
            yield Train(
                "distil",
                chosen(server.proxy, None),
                {"y": teacher},
                steps=end - begin,
                lr=falling[begin:end],
                momentum=ADAM_BETA1,
                batch=self.server_batch,
                keep_momentum=begin > 0,
                student=student,
            )
            ask = None if held is None else Predict(held, student=student)
            accuracy = 0.0 if ask is None else (yield from _accuracy(ask))
            if accuracy > best_accuracy:
                best, best_accuracy, best_at = (yield Read(student)), accuracy, end
            elif end - best_at >= self.patience_steps:
                break
        yield Load(best, student)


def _accuracy(ask: Predict) -> Generator[Request, Array, float]:
    """Share of right answers to ``ask``."""
    logits = yield ask
    return float((logits.argmax(-1) == ask.samples.labels).mean())
