"""A student on a board: training steps and predictions with ONNX Runtime and numpy only.

The runtime is pure: a :class:`State` goes in, a new one comes out, and nothing
else changes. Whoever drives it decides when a new state is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from devices.bundle import Bundle, BundleError, Golden, LossSignature

Array: TypeAlias = npt.NDArray[np.float32]
Inputs: TypeAlias = Mapping[str, "npt.NDArray[np.floating[Any]] | float"]

GOLDEN_MOMENTUM = 0.1  # the golden step starts with momentum GOLDEN_MOMENTUM * theta
STEP_TOLERANCE = 1e-3  # of the largest update
LOGIT_TOLERANCE = 1e-4


class TrainingDiverged(ValueError):  # noqa: N818 - says what happened, as StopIteration does
    """The loss or the weights are no longer finite; the state given in is untouched."""

    def __init__(self, student: str, name: str, step: int, loss: float) -> None:
        self.step = step
        self.loss = loss
        super().__init__(
            f"student {student!r} diverged on loss {name!r} at step {step} (loss {loss});"
            " lower lr, or check the targets"
        )


@dataclass(frozen=True)
class State:
    """Weights ``theta`` and momentum ``opt``, both (parameters,) float32 and read-only.

    A writable array is copied.
    """

    theta: Array
    opt: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", _frozen(self.theta))
        object.__setattr__(self, "opt", _frozen(self.opt))
        if self.theta.ndim != 1 or self.theta.shape != self.opt.shape:
            raise ValueError(
                f"theta {self.theta.shape} and opt {self.opt.shape} must be vectors of one length"
            )


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
        self.initial = State(bundle.theta, np.zeros_like(bundle.theta))
        self._threads = threads
        self._arena = enable_cpu_mem_arena
        self._steps: dict[bytes, ort.InferenceSession] = {}
        self._infer: ort.InferenceSession | None = None
        self._infer_theta: Array | None = None

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
        lr: float | None = None,
        momentum: float | None = None,
        keep_momentum: bool = False,
        outputs: bool = False,
    ) -> TrainResult:
        """Train on ``x`` (n, *input_shape) float32, already preprocessed, by ``loss``.

        ``inputs`` holds what the loss declares: rows (n, classes), tables
        (classes, classes), scalars. Each pass visits a fresh
        ``rng.permutation(n)`` in mini-batches of ``batch``, the last one
        partial; ``epochs`` counts passes, ``steps`` mini-batches. ``batch``,
        ``lr`` and ``momentum`` default to the bundle's. Momentum starts from
        zero unless ``keep_momentum``. Raises ValueError for inputs that do not
        fit the loss, and :class:`TrainingDiverged`.
        """
        defaults = self.bundle.training
        size = defaults.batch if batch is None else batch
        rate = defaults.lr if lr is None else lr
        factor = defaults.momentum if momentum is None else momentum
        signature = self._signature(loss)
        self._check_x(x)
        _check_run(len(x), size, epochs, steps)
        _check_rates(rate, factor)
        feed = _checked_inputs(loss, signature, inputs, len(x), self.bundle.classes)
        current = state if keep_momentum else State(state.theta, self.initial.opt)
        losses: list[float] = []
        seen: list[tuple[Array, npt.NDArray[np.int64]]] = []
        for index in _batches(len(x), size, epochs, steps, rng):
            rows = {k: v[index] if k in signature.rows else v for k, v in feed.items()}
            done = self._step(current, loss, x[index], rows, lr=rate, momentum=factor)
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
        """One SGD step on the batch ``x`` (batch, *input_shape).

        As torch.optim.SGD: opt = momentum * opt + gradient; theta -= lr * opt.
        """
        signature = self._signature(loss)
        self._check_x(x)
        feed = _checked_inputs(loss, signature, inputs, len(x), self.bundle.classes)
        return self._step(state, loss, x, feed, lr=lr, momentum=momentum)

    def predict(self, state: State, x: Array, *, batch: int = 32) -> Array:
        """Logits (n, classes) float32 of ``x`` (n, *input_shape) float32."""
        self._check_x(x)
        if batch < 1:
            raise ValueError(f"batch {batch} must be at least 1")
        session = self._inference(state.theta)
        parts = [
            session.run(["logits"], {"x": x[start : start + batch]})[0]
            for start in range(0, len(x), batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.bundle.classes), np.float32)

    def self_test(self) -> None:
        """Replay the golden batches; raise :class:`BundleError` where this runtime differs.

        A wrong build of ONNX Runtime is caught here, before it can learn nonsense.
        """
        for golden in self.bundle.golden:
            logits = self.predict(self.initial, golden.x)
            self._compare("logits", logits, golden.logits, LOGIT_TOLERANCE)
            for loss in golden.steps:
                self._test_step(golden, loss)

    def _test_step(self, golden: Golden, loss: str) -> None:
        expected, defaults = golden.steps[loss], self.bundle.training
        theta = self.bundle.theta
        before = State(theta, np.float32(GOLDEN_MOMENTUM) * theta)
        done = self.step(
            before, loss, golden.x, expected.inputs, lr=defaults.lr, momentum=defaults.momentum
        )
        opt = done.state.opt
        kept = opt[:: self.bundle.golden_stride]
        self._compare(f"momentum after {loss!r}", kept, expected.opt, STEP_TOLERANCE)
        norm = np.array([np.linalg.norm(opt.astype(np.float64))])
        self._compare(f"its norm after {loss!r}", norm, expected.opt_norm, STEP_TOLERANCE)
        update = np.float32(-defaults.lr) * opt
        self._compare(f"update by {loss!r}", done.state.theta - theta, update, STEP_TOLERANCE)
        self._compare(f"loss {loss!r}", np.array([done.loss]), expected.loss, STEP_TOLERANCE)
        self._compare(f"logits in {loss!r}", done.logits, golden.logits, LOGIT_TOLERANCE)

    def _compare(
        self, what: str, found: npt.NDArray[Any], due: npt.ArrayLike, tolerance: float
    ) -> None:
        # Rounding of theta itself may exceed a thousandth of a very small update.
        error = float(np.abs(found - due).max())
        size = float(np.abs(due).max())
        rounding = float(np.abs(self.bundle.theta).max()) * 2.0**-22
        if not error <= tolerance * size + rounding:
            raise BundleError(
                f"of student {self.bundle.student!r}",
                f"self-test failed: {what} differs by {error:.3g} of {size:.3g}"
                f" on onnxruntime {ort.__version__}",
                "install another version of onnxruntime",
            )

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

    def _step(
        self,
        state: State,
        loss: str,
        x: Array,
        feed: Mapping[str, Array],
        *,
        lr: float,
        momentum: float,
    ) -> Step:
        theta, opt, value, logits = self._training(loss).run(
            ["new_theta", "new_opt", "loss", "logits"],
            {
                "theta": state.theta,
                "opt": state.opt,
                "x": x,
                **feed,
                "lr": np.asarray(lr, np.float32),
                "momentum": np.asarray(momentum, np.float32),
            },
        )
        # Made here and seen by nobody else, so State need not copy them.
        theta.flags.writeable = opt.flags.writeable = False
        return Step(State(theta, opt), float(value), logits)

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = self._threads
        options.enable_cpu_mem_arena = self._arena
        options.log_severity_level = 3
        return options

    def _training(self, loss: str) -> ort.InferenceSession:
        graph = self.bundle.train_graphs[loss]
        if graph not in self._steps:
            self._steps[graph] = self._session(graph, self._options())
        return self._steps[graph]

    def _inference(self, theta: Array) -> ort.InferenceSession:
        """Session whose weights are constants, so that ONNX Runtime can fold and fuse them."""
        if self._infer is None or not np.array_equal(theta, self._infer_theta):  # type: ignore[arg-type]
            if theta.shape != self.bundle.theta.shape:
                raise ValueError(
                    f"theta has {theta.size} values, student {self.bundle.student!r} has"
                    f" {self.bundle.parameters}"
                )
            # Not add_initializer: it is ignored without a word for weights that
            # are folded or fused, and the session would keep the old ones.
            options = self._options()
            # Every new theta needs a new session: the old one's memory goes first, and
            # an arena would stay as large as its largest batch for no gain in speed.
            options.enable_cpu_mem_arena = False
            self._infer = None
            self._infer_theta = theta
            value = ort.OrtValue.ortvalue_from_numpy(theta)
            options.add_external_initializers(["theta"], [value])
            self._infer = self._session(self.bundle.infer_graph, options)
        return self._infer

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


def _result(
    state: State, losses: list[float], seen: list[tuple[Array, npt.NDArray[np.int64]]]
) -> TrainResult:
    mean = math.fsum(losses) / len(losses)
    if not seen:
        return TrainResult(state, mean, len(losses))
    logits, index = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    return TrainResult(state, mean, len(losses), logits, index)


def _check_run(samples: int, batch: int, epochs: int | None, steps: int | None) -> None:
    if (epochs is None) == (steps is None):
        raise ValueError(f"give either epochs or steps, got epochs={epochs}, steps={steps}")
    count = epochs if steps is None else steps
    if samples < 1 or batch < 1 or count is None or count < 1:
        raise ValueError(
            f"nothing to train on: {samples} samples, batch {batch},"
            f" epochs={epochs}, steps={steps}; all must be at least 1"
        )


def _check_rates(lr: float, momentum: float) -> None:
    if not 0 < lr <= float(np.finfo(np.float32).max) or not 0 <= momentum < 1:
        raise ValueError(f"lr {lr} must be above 0 and finite, momentum {momentum} in [0, 1)")


def _batches(
    samples: int, batch: int, epochs: int | None, steps: int | None, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    per_epoch = -(-samples // batch)
    left = per_epoch * epochs if epochs is not None else steps
    while left:
        order = rng.permutation(samples)
        for start in range(0, samples, batch)[:left]:
            yield order[start : start + batch]
        left = max(0, left - per_epoch)


def _checked_inputs(
    loss: str, signature: LossSignature, inputs: Inputs, samples: int, classes: int
) -> dict[str, Array]:
    """Inputs as float32 arrays; raise ValueError that names what is missing, extra or misshaped."""
    missing = sorted(set(signature.names) - set(inputs))
    extra = sorted(set(inputs) - set(signature.names))
    if missing or extra:
        takes = ", ".join(signature.names) or "none"
        raise ValueError(
            f"loss {loss!r}: missing inputs {missing}, extra {extra}; it takes: {takes}"
        )
    checked = {}
    for name in signature.names:
        value = np.asarray(inputs[name], np.float32)
        due: tuple[int, ...] = () if name in signature.scalars else (samples, classes)
        due = (classes, classes) if name in signature.tables else due
        if value.shape != due:
            raise ValueError(f"loss {loss!r}: input {name!r} has shape {value.shape}, not {due}")
        checked[name] = value
    return checked
