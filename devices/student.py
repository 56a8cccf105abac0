"""A student on a board: training steps and predictions with ONNX Runtime and numpy only.

The runtime is pure: a :class:`State` goes in, a new one comes out, and nothing
else changes. Whoever drives it decides when a new state is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from devices import self_test
from devices.batches import Batches, rates
from devices.bundle import Bundle, BundleError, LossSignature
from devices.contents import Array
from devices.optimizer import state_length, step_scalars

Inputs: TypeAlias = Mapping[str, "npt.NDArray[np.floating[Any]] | float"]
Output: TypeAlias = Literal["logits", "features"]


class TrainingDiverged(ValueError):  # noqa: N818 - says what happened, as StopIteration does
    """The loss or the weights are no longer finite; the state given in is untouched."""

    def __init__(self, student: str, name: str, step: int, loss: float) -> None:
        self.step = step
        self.loss = loss
        self._facts = student, name, step, loss
        super().__init__(
            f"student {student!r} diverged on loss {name!r} at step {step} (loss {loss});"
            " lower lr, or check the targets"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._facts  # so that it can leave another process


@dataclass(frozen=True)
class State:
    """``theta`` (parameters,) and the optimiser's ``opt``, float32 and read-only.

    ``theta`` holds the trained parameters and after them the running statistics
    of batch norm; ``opt`` is as long as the optimiser of the last training
    needs (``devices.optimizer``). A writable array is copied.
    """

    theta: Array
    opt: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", _frozen(self.theta))
        object.__setattr__(self, "opt", _frozen(self.opt))
        if self.theta.ndim != 1 or self.opt.ndim != 1:
            raise ValueError(f"theta {self.theta.shape} and opt {self.opt.shape} must be vectors")


@dataclass(frozen=True)
class Step:
    """One training step: the state after it, the loss and the logits before it."""

    state: State
    loss: float
    logits: Array


@dataclass(frozen=True)
class TrainResult:
    """``loss`` is the mean over the steps.

    With ``outputs=True``: ``logits`` (visited, classes) as given before each
    step's update and ``index`` (visited,) int64, the sample behind each row.
    """

    state: State
    loss: float
    steps: int
    logits: Array | None = None
    index: npt.NDArray[np.int64] | None = None


class Student:
    """Runs a bundle's graphs; sessions are made when first needed.

    ``threads`` are ONNX Runtime's; results are bit-identical for one count of
    them. ``enable_cpu_mem_arena=False`` saves some memory on small boards.
    """

    def __init__(
        self, bundle: Bundle, *, threads: int = 1, enable_cpu_mem_arena: bool = True
    ) -> None:
        self.bundle = bundle
        self.initial = State(bundle.theta, self._zeros(bundle.training.optimizer))
        self._threads = threads
        self._arena = enable_cpu_mem_arena
        self._steps: dict[bytes, tuple[ort.InferenceSession, frozenset[str]]] = {}
        """By graph: its session and the names of its inputs."""
        self._infer: ort.InferenceSession | None = None
        self._infer_theta: Array | None = None

    def blank_opt(self, loss: str) -> Array:
        """Return the state of the optimiser of ``loss`` before its first step: zeros."""
        optimizer, initial = self._signature(loss).optimizer, self.initial.opt
        if optimizer == self.bundle.training.optimizer:
            return initial  # read-only, and a new one would have to be written
        return self._zeros(optimizer)

    def batches(
        self, samples: int, batch: int, *, epochs: int | None = None, steps: int | None = None
    ) -> Batches:
        """Return the mini-batches that :meth:`train` would visit."""
        return Batches(samples, batch, epochs, steps, paired=self.bundle.buffers > 0)

    def train(
        self,
        state: State,
        loss: str,
        x: Array,
        inputs: Inputs,
        *,
        rng: np.random.Generator,
        epochs: int | None = None,
        steps: int | None = None,
        batch: int | None = None,
        lr: float | npt.NDArray[np.floating] | None = None,
        momentum: float | None = None,
        keep_momentum: bool = False,
        outputs: bool = False,
    ) -> TrainResult:
        """Train on ``x`` (n, *input_shape) float32, already preprocessed, by ``loss``.

        ``inputs`` holds what the loss declares, with n samples for the batch
        (:class:`LossSignature` tells the shapes). Each pass visits a fresh
        ``rng.permutation(n)`` in mini-batches of ``batch``, the last one
        partial; a last single sample joins the batch before it where the
        student has batch norm. ``epochs`` counts passes, ``steps``
        mini-batches. ``batch``, ``lr`` and ``momentum`` (Adam's beta1) default
        to the bundle's; ``lr`` (steps,) gives each step its own. The optimiser
        starts from zero unless ``keep_momentum``; a student exported with
        momentum 0 trains with none, and its ``opt`` stays as it is. Raises
        ValueError for inputs that do not fit the loss, and :class:`TrainingDiverged`.
        """
        defaults, signature = self.bundle.training, self._signature(loss)
        factor = _checked_momentum(defaults.momentum if momentum is None else momentum)
        self._check_x(x)
        size = defaults.batch if batch is None else batch
        batches = self.batches(len(x), size, epochs=epochs, steps=steps)
        step_rates = rates(defaults.lr if lr is None else lr, batches.total)
        feed = self._checked_inputs(loss, inputs, len(x))
        current = state if keep_momentum else State(state.theta, self.blank_opt(loss))
        self._check_state(current, loss)
        losses: list[float] = []
        seen: list[tuple[Array, npt.NDArray[np.int64]]] = []
        for index, rate in zip(batches.draw(rng), step_rates, strict=True):
            rows = {k: v[index] if k in signature.batched else v for k, v in feed.items()}
            done = self._step(
                current, loss, x[index], rows, lr=rate, momentum=factor, gradient=False
            )
            if not math.isfinite(done.loss):
                raise TrainingDiverged(self.bundle.student, loss, len(losses), done.loss)
            current = done.state
            losses.append(done.loss)
            if outputs:
                seen.append((done.logits, index))
        if not np.isfinite(current.theta).all():
            raise TrainingDiverged(self.bundle.student, loss, len(losses) - 1, losses[-1])
        return _result(current, losses, seen)

    def step(
        self, state: State, loss: str, x: Array, inputs: Inputs, *, lr: float, momentum: float
    ) -> Step:
        """One step on the batch ``x`` (batch, *input_shape) by the optimiser of ``loss``.

        As torch.optim.SGD: opt = momentum * opt + gradient; theta -= lr * opt;
        or as torch.optim.Adam with betas (``momentum``, 0.999) and eps 1e-8.
        Running statistics move as torch's do.
        """
        self._signature(loss)
        self._check_x(x)
        self.batches(len(x), max(len(x), 1), steps=1)
        self._check_state(state, loss)
        feed = self._checked_inputs(loss, inputs, len(x))
        return self._step(state, loss, x, feed, lr=lr, momentum=momentum, gradient=True)

    def predict(
        self, state: State, x: Array, *, output: Output = "logits", batch: int = 32
    ) -> Array:
        """Logits (n, classes) or features (n, width) of ``x`` (n, *input_shape), all float32.

        Batch norm uses its running statistics. Features are the input of the
        student's head; a student without any raises ValueError.
        """
        self._check_x(x)
        width = self.bundle.classes if output == "logits" else self.bundle.features
        if batch < 1:
            raise ValueError(f"batch {batch} must be at least 1")
        if not width:
            raise ValueError(
                f"student {self.bundle.student!r} has no features; call its last layer 'head' and"
                " let its output be the logits"
            )
        session, weights = self._inference(state.theta)
        parts = [
            session.run([output], {"x": x[start : start + batch], **weights})[0]
            for start in range(0, len(x), batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, width), np.float32)

    def self_test(self) -> None:
        """Replay the golden batches; raise :class:`BundleError` where this runtime differs.

        A wrong build of ONNX Runtime is caught here, before it can learn nonsense.
        """
        self_test.self_test(self)

    def _zeros(self, optimizer: str) -> Array:
        return np.zeros(state_length(optimizer, self.bundle.trained), np.float32)

    def _signature(self, loss: str) -> LossSignature:
        if loss not in self.bundle.train_graphs:
            if self.bundle.capability == "infer":
                raise ValueError(
                    f"student {self.bundle.student!r} can only predict, it was exported with"
                    " capability 'infer'; export it with capability 'train'"
                )
            known = ", ".join(sorted(self.bundle.train_graphs))
            raise ValueError(f"the bundle has no loss {loss!r}; it has: {known}")
        return self.bundle.losses[loss]

    def _check_x(self, x: Array) -> None:
        if x.dtype != np.float32 or x.shape[1:] != self.bundle.input_shape or not x.ndim:
            raise ValueError(
                f"x is {x.dtype} {x.shape}, student {self.bundle.student!r} takes float32"
                f" (n, {', '.join(map(str, self.bundle.input_shape))}); apply bundle.preprocess"
            )

    def _check_theta(self, theta: Array) -> None:
        if theta.shape != self.bundle.theta.shape:
            raise ValueError(
                f"theta has {theta.size} values, student {self.bundle.student!r} has"
                f" {self.bundle.parameters}"
            )

    def _check_state(self, state: State, loss: str) -> None:
        self._check_theta(state.theta)
        optimizer = self._signature(loss).optimizer
        due = state_length(optimizer, self.bundle.trained)
        if state.opt.shape != (due,):
            raise ValueError(
                f"opt has {state.opt.size} values, {optimizer} of loss {loss!r} keeps {due};"
                " start it anew with keep_momentum=False"
            )

    def _checked_inputs(self, loss: str, inputs: Inputs, samples: int) -> dict[str, Array]:
        """Inputs as float32 arrays; raise ValueError that names what is missing or misshaped."""
        due = self.bundle.input_shapes(loss, samples)
        missing, extra = sorted(set(due) - set(inputs)), sorted(set(inputs) - set(due))
        if missing or extra:
            raise ValueError(
                f"loss {loss!r}: missing inputs {missing}, extra {extra};"
                f" it takes: {', '.join(due) or 'none'}"
            )
        checked = {}
        for name, shape in due.items():
            value = np.asarray(inputs[name], np.float32)
            if value.shape != shape:
                raise ValueError(
                    f"loss {loss!r}: input {name!r} has shape {value.shape}, not {shape}"
                )
            checked[name] = value
        return checked

    def _step(
        self,
        state: State,
        loss: str,
        x: Array,
        feed: Mapping[str, Array],
        *,
        lr: float,
        momentum: float,
        gradient: bool,
    ) -> Step:
        """Take a step; without momentum opt is the gradient, and stays as it is unless asked."""
        optimizer = self.bundle.losses[loss].optimizer
        session, takes = self._training(loss)
        if momentum and "momentum" not in takes:
            raise ValueError(
                f"student {self.bundle.student!r} was exported with momentum 0 and cannot train"
                f" with {momentum}; export it with a momentum above 0"
            )
        scalars = step_scalars(optimizer, state.opt, lr=lr, momentum=momentum)
        given = {"theta": state.theta, "opt": state.opt, "x": x, **feed, **scalars}
        wanted = ["new_theta", "loss", "logits", "new_opt"]
        if "opt" not in takes and not gradient:
            wanted.pop()
        theta, value, logits, *rest = session.run(
            wanted, {name: array for name, array in given.items() if name in takes}
        )
        opt = rest[0] if rest else state.opt
        # Made here and seen by nobody else, so State need not copy them.
        theta.flags.writeable = opt.flags.writeable = False
        return Step(State(theta, opt), float(value), logits)

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = self._threads
        options.enable_cpu_mem_arena = self._arena
        options.log_severity_level = 3
        return options

    def _training(self, loss: str) -> tuple[ort.InferenceSession, frozenset[str]]:
        graph = self.bundle.train_graphs[loss]
        if graph not in self._steps:
            session = self._session(graph, self._options())
            self._steps[graph] = session, frozenset(each.name for each in session.get_inputs())
        return self._steps[graph]

    def _inference(self, theta: Array) -> tuple[ort.InferenceSession, dict[str, Array]]:
        """A session, and the weights that each run of it takes.

        Small graphs have them as constants, which ONNX Runtime folds and fuses;
        in large ones a session for each theta would cost more than it saves.
        """
        self._check_theta(theta)
        options = self._options()
        if self.bundle.infer_takes_theta:
            if self._infer is None:
                self._infer = self._session(self.bundle.infer_graph, options)
            return self._infer, {"theta": theta}
        if self._infer is None or not np.array_equal(theta, self._infer_theta):  # type: ignore[arg-type]
            # The old session's memory goes first, and an arena would stay as large
            # as its largest batch for no gain in speed.
            options.enable_cpu_mem_arena = False
            self._infer = None
            self._infer_theta = theta
            # Not add_initializer: it is ignored without a word for weights that
            # are folded or fused, and the session would keep the old ones.
            value = ort.OrtValue.ortvalue_from_numpy(theta)
            options.add_external_initializers(["theta"], [value])
            self._infer = self._session(self.bundle.infer_graph, options)
        return self._infer, {}

    def _session(self, graph: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
        try:
            return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no narrower base
            raise BundleError(
                f"of student {self.bundle.student!r}",
                f"onnxruntime {ort.__version__} refuses a graph ({error})",
                "install onnxruntime 1.16 or newer, or export it again",
            ) from error


def _frozen(array: Array) -> Array:
    if array.dtype == np.float32 and array.flags.c_contiguous and not array.flags.writeable:
        return array
    copy = np.array(array, np.float32, order="C")
    copy.flags.writeable = False
    return copy


def _checked_momentum(momentum: float) -> float:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum {momentum} must be in [0, 1)")
    return momentum


def _result(
    state: State, losses: list[float], seen: list[tuple[Array, npt.NDArray[np.int64]]]
) -> TrainResult:
    mean = math.fsum(losses) / len(losses)
    if not seen:
        return TrainResult(state, mean, len(losses))
    logits, index = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    return TrainResult(state, mean, len(losses), logits, index)
