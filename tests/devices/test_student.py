"""The runtime on a board: learning, purity, determinism, refusals; torch is the oracle."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from devices.bundle import Bundle, BundleError, read_bundle
from devices.student import State, Student, TrainingDiverged
from edge_fd.students import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return read_bundle(bundle_path)


@pytest.fixture
def student(bundle: Bundle) -> Student:
    return Student(bundle)


def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    datasets = pytest.importorskip("sklearn.datasets", reason="digits come with scikit-learn")
    data = datasets.load_digits()
    return data.images.astype(np.uint8), np.eye(10, dtype=np.float32)[data.target]


def torch_logits(theta: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    module = build("mlp", (8, 8), 10, seed=0)
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.tensor(theta), module.parameters())
        logits: np.ndarray[Any, Any] = module(torch.from_numpy(x)).numpy()
    return logits


def batch(n: int = 50) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 8, 8)).astype(np.float32)
    return x, {"y": np.eye(10, dtype=np.float32)[rng.integers(0, 10, n)]}


def train(student: Student, state: State | None = None, **changes: Any) -> Any:
    x, inputs = batch()
    settings: dict[str, Any] = {"epochs": 2, "batch": 16, "rng": np.random.default_rng(1)}
    settings |= changes
    return student.train(state or student.initial, "local", x, inputs, **settings)


def test_lenet_learns_digits_by_the_onnx_step_alone(lenet_bundle: Bundle) -> None:
    images, y = digits()
    x = lenet_bundle.preprocess.apply(images)  # 8x8 to 28x28
    order = np.random.default_rng(0).permutation(len(x))
    test, rest = order[:400], order[400:]
    student = Student(lenet_bundle)
    done = student.train(
        student.initial,
        "local",
        x[rest],
        {"y": y[rest]},
        steps=250,
        batch=64,
        lr=0.03,
        rng=np.random.default_rng(1),
    )
    right = student.predict(done.state, x[test]).argmax(1) == y[test].argmax(1)
    # 96.98 % after 228 steps in the note on export (onnx_training.md, section 3).
    assert right.mean() >= 0.95


def test_predictions_use_the_new_weights_after_an_update(student: Student) -> None:
    x, _ = batch()
    before = student.predict(student.initial, x)
    state = train(student).state
    np.testing.assert_allclose(student.predict(state, x), torch_logits(state.theta, x), atol=1e-5)
    assert np.abs(student.predict(state, x) - before).max() > 0.1
    np.testing.assert_array_equal(student.predict(student.initial, x), before)


def test_batches_of_a_prediction_do_not_show(student: Student) -> None:
    x, _ = batch(10)
    whole = student.predict(student.initial, x)
    np.testing.assert_allclose(student.predict(student.initial, x, batch=3), whole, atol=1e-6)
    assert student.predict(student.initial, x[:0]).shape == (0, 10)


def test_training_is_torchs_sgd_over_the_same_batches(student: Student) -> None:
    x, inputs = batch()
    module = build("mlp", (8, 8), 10, seed=4)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.03, momentum=0.8)
    rng, losses = np.random.default_rng(1), []
    for _ in range(2):
        order = rng.permutation(50)
        for index in (order[:16], order[16:32], order[32:48], order[48:]):
            optimiser.zero_grad()
            y = torch.from_numpy(inputs["y"][index])
            logits = module(torch.from_numpy(x[index]))
            value = torch.nn.functional.cross_entropy(logits, y)
            value.backward()
            optimiser.step()
            losses.append(value.item())
    done = train(student, lr=0.03, momentum=0.8)
    due = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    assert done.steps == len(losses)
    assert done.loss == pytest.approx(np.mean(losses), rel=1e-5)
    np.testing.assert_allclose(done.state.theta, due, atol=1e-6)


@pytest.mark.parametrize(("steps", "visited"), [(1, 16), (4, 50), (5, 66), (9, 116)])
def test_steps_pass_over_the_samples_as_often_as_needed(
    student: Student, steps: int, visited: int
) -> None:
    done = train(student, epochs=None, steps=steps, outputs=True)
    assert done.steps == steps
    assert done.logits.shape == (visited, 10)
    assert done.index.shape == (visited,)
    assert sorted(done.index[:50]) == sorted(set(done.index[:50]))  # each pass is a permutation


def test_outputs_are_the_logits_before_each_step(student: Student) -> None:
    x, _ = batch()
    done = train(student, epochs=None, steps=1, outputs=True)
    due = torch_logits(student.initial.theta, x[done.index])
    np.testing.assert_allclose(done.logits, due, atol=1e-5)
    assert train(student).logits is None


def test_the_same_stream_gives_the_same_bytes(bundle: Bundle) -> None:
    one, two = train(Student(bundle)), train(Student(bundle))
    assert one.state.theta.tobytes() == two.state.theta.tobytes()
    assert one.state.opt.tobytes() == two.state.opt.tobytes()
    other = train(Student(bundle), rng=np.random.default_rng(2))
    assert one.state.theta.tobytes() != other.state.theta.tobytes()


def test_training_changes_nothing_that_was_given(student: Student) -> None:
    x, inputs = batch()
    copies = x.copy(), inputs["y"].copy(), student.initial.theta.copy()
    student.train(student.initial, "local", x, inputs, epochs=1, rng=np.random.default_rng(0))
    for now, copy in zip((x, inputs["y"], student.initial.theta), copies, strict=True):
        np.testing.assert_array_equal(now, copy)


def test_momentum_starts_from_zero_unless_kept(student: Student) -> None:
    warm = train(student).state
    fresh = State(warm.theta, np.zeros_like(warm.opt))
    again = train(student, warm).state.theta
    np.testing.assert_array_equal(again, train(student, fresh, keep_momentum=True).state.theta)
    assert np.abs(again - train(student, warm, keep_momentum=True).state.theta).max() > 1e-4


def test_tables_and_scalars_reach_the_loss(student: Student) -> None:
    x, inputs = batch()
    table = np.full((10, 10), 0.1, np.float32)
    results = [
        student.train(
            student.initial,
            "distil",
            x,
            {**inputs, "table": table, "gamma": gamma},
            epochs=1,
            rng=np.random.default_rng(0),
        ).loss
        for gamma in (0.0, 1.0)
    ]
    plain = student.train(
        student.initial, "local", x, inputs, epochs=1, rng=np.random.default_rng(0)
    ).loss
    assert results[0] == pytest.approx(plain, rel=1e-5)
    assert results[1] > results[0] + 1  # a uniform teacher costs at least log 10 more


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": None}, r"missing inputs \['y'\]"),
        ({"soft": np.zeros((50, 10))}, r"extra \['soft'\]"),
        ({"y": np.zeros((50, 9))}, r"'y' has shape \(50, 9\)"),
        ({"y": np.zeros((49, 10))}, r"'y' has shape \(49, 10\)"),
    ],
)
def test_inputs_that_the_loss_does_not_take_are_named(
    student: Student, change: dict[str, Any], words: str
) -> None:
    x, inputs = batch()
    given = {name: value for name, value in {**inputs, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=words):
        student.train(student.initial, "local", x, given, epochs=1, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "changes",
    [{"epochs": None}, {"steps": 3}, {"epochs": 0}, {"batch": 0}, {"epochs": None, "steps": 0}],
)
def test_counts_that_mean_nothing_are_refused(student: Student, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="epochs"):
        train(student, **changes)


def test_samples_of_another_shape_or_type_are_refused(student: Student) -> None:
    x, _ = batch()
    for wrong in (x.astype(np.float64), x.reshape(-1, 64)):
        with pytest.raises(ValueError, match=r"apply bundle\.preprocess"):
            student.predict(student.initial, wrong)


def test_an_unknown_loss_and_an_infer_bundle_are_refused(
    student: Student, infer_bundle: Bundle
) -> None:
    x, inputs = batch()
    for who, words in ((student, "it has: distil, local"), (Student(infer_bundle), "only predict")):
        with pytest.raises(ValueError, match=words):
            who.train(who.initial, "nope", x, inputs, epochs=1, rng=np.random.default_rng(0))


def test_an_infer_bundle_predicts(infer_bundle: Bundle) -> None:
    student = Student(infer_bundle)
    x, _ = batch()
    due = torch_logits(infer_bundle.theta, x)
    np.testing.assert_allclose(student.predict(student.initial, x), due, atol=1e-5)


def test_divergence_tells_step_and_loss(student: Student) -> None:
    with pytest.raises(TrainingDiverged, match="lower lr") as raised:
        train(student, lr=1e30)
    assert raised.value.step > 0
    assert not np.isfinite(raised.value.loss)


def test_weights_that_end_infinite_are_divergence_too(student: Student) -> None:
    x, inputs = batch()
    with pytest.raises(TrainingDiverged) as raised:
        student.train(
            student.initial,
            "local",
            x * np.float32(1e20),
            inputs,
            steps=1,
            lr=1e30,
            rng=np.random.default_rng(0),
        )
    assert raised.value.step == 0
    assert np.isfinite(raised.value.loss)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.0}, "lr 0.0 must be above 0"),
        ({"lr": 1e39}, "above 0 and finite"),
        ({"lr": float("nan")}, "above 0 and finite"),
        ({"lr": np.array([0.1] * 7 + [-0.1])}, "above 0 and finite"),
        ({"lr": np.full(7, 0.1)}, r"lr has shape \(7,\), this training takes 8 steps"),
        ({"momentum": 1.0}, r"momentum 1.0 must be in \[0, 1\)"),
    ],
)
def test_rates_out_of_range_are_refused(
    student: Student, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        train(student, **changes)


def test_a_rate_for_each_step_is_used_in_turn(student: Student) -> None:
    x, inputs = batch()
    given = np.array([0.1, 0.01, 0.05, 0.2, 0.02], np.float32)
    done = train(student, epochs=None, steps=5, lr=given, momentum=0.5, outputs=True)
    state = student.initial
    for rate, index in zip(given, np.split(done.index, [16, 32, 48, 50]), strict=True):
        rows = {"y": inputs["y"][index]}
        state = student.step(state, "local", x[index], rows, lr=float(rate), momentum=0.5).state
    np.testing.assert_array_equal(done.state.theta, state.theta)
    plain = train(student, epochs=None, steps=5, lr=0.1, momentum=0.5).state.theta
    level = train(student, epochs=None, steps=5, lr=np.full(5, 0.1), momentum=0.5).state.theta
    np.testing.assert_array_equal(plain, level)
    assert np.abs(plain - state.theta).max() > 1e-4


def test_weights_of_another_length_are_refused(student: Student) -> None:
    x, _ = batch()
    state = State(np.zeros(3, np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="theta has 3 values"):
        student.predict(state, x)
    with pytest.raises(ValueError, match="theta has 3 values"):
        train(student, state)
    with pytest.raises(ValueError, match="must be vectors"):
        State(np.zeros(3, np.float32), np.zeros((4, 1), np.float32))


def test_a_state_does_not_follow_the_array_it_was_made_of(student: Student) -> None:
    theta = student.initial.theta.copy()
    state = State(theta, np.zeros_like(theta))
    theta[:] = 0
    np.testing.assert_array_equal(state.theta, student.initial.theta)
    with pytest.raises(ValueError, match="read-only"):
        state.theta[0] = 1


def test_the_self_test_passes_on_what_was_exported(bundle: Bundle, lenet_bundle: Bundle) -> None:
    Student(bundle).self_test()
    Student(lenet_bundle, enable_cpu_mem_arena=False).self_test()


@pytest.mark.parametrize("field", ["opt", "opt_norm", "loss", "logits"])
def test_the_self_test_sees_a_step_that_is_off_by_two_thousandths(
    bundle: Bundle, field: str
) -> None:
    golden = bundle.golden[1]
    step = golden.steps["local"]
    wrong = dataclasses.replace(step, **{field: getattr(step, field) * np.float32(1.002)})
    changed = dataclasses.replace(golden, steps={**golden.steps, "local": wrong})
    with pytest.raises(BundleError, match=r"self-test failed.*another version of onnxruntime"):
        Student(dataclasses.replace(bundle, golden=(changed,))).self_test()


def test_the_self_test_sees_other_logits(bundle: Bundle) -> None:
    changed = dataclasses.replace(bundle.golden[0], logits=bundle.golden[0].logits + 1e-3)
    with pytest.raises(BundleError, match="logits"):
        Student(dataclasses.replace(bundle, golden=(changed,))).self_test()


def test_a_graph_that_is_no_graph_is_refused(bundle: Bundle) -> None:
    student = Student(dataclasses.replace(bundle, infer_graph=b"nonsense"))
    with pytest.raises(BundleError, match="refuses a graph"):
        student.self_test()


BOARD = """
import sys
for name in ("torch", "onnx", "simpy", "pandas", "matplotlib", "sklearn", "scipy"):
    sys.modules[name] = None  # an import of it now fails
import numpy as np
from devices import Student, read_bundle
student = Student(read_bundle(sys.argv[1]))
student.self_test()
rng = np.random.default_rng(0)
x = student.bundle.preprocess.apply(rng.integers(0, 17, (64, 8, 8)).astype(np.uint8))
y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 64)]
first = student.train(student.initial, "local", x, {"y": y}, steps=2, rng=rng, batch=64, lr=0.2)
last = student.train(first.state, "local", x, {"y": y}, steps=18, rng=rng, batch=64, lr=0.2)
loss = student.train(last.state, "local", x, {"y": y}, steps=1, rng=rng, batch=64, lr=0.2).loss
print(first.loss, loss)
assert not [name for name in ("torch", "onnx", "edge_fd") if sys.modules.get(name)]
"""


def test_a_board_without_torch_and_onnx_trains_and_improves(bundle_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BOARD, str(bundle_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    first, last = map(float, done.stdout.split())
    assert last < 0.8 * first
