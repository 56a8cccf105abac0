"""Adam and batch norm on a board, against torch.optim.Adam and torch's running statistics."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from devices.batches import Batches
from devices.bundle import Bundle, BundleError, read_bundle, write_bundle
from devices.optimizer import state_length, step_scalars, update
from devices.student import State, Student


@pytest.fixture(scope="module")
def bundle(adam_bundle_path: Path) -> Bundle:
    return read_bundle(adam_bundle_path)


@pytest.fixture
def student(bundle: Bundle) -> Student:
    return Student(bundle)


def normed(theta: np.ndarray[Any, Any]) -> Any:
    """The net of the bundle, filled by hand with weights, mean, variance."""
    module = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 12, bias=False),
        torch.nn.BatchNorm1d(12),
        torch.nn.ReLU(),
        torch.nn.Linear(12, 10),
    )
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.tensor(theta[:-24]), module.parameters())
        module[2].running_mean.copy_(torch.tensor(theta[-24:-12]))
        module[2].running_var.copy_(torch.tensor(theta[-12:]))
    return module


def samples(n: int = 33) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 8, 8)).astype(np.float32)
    return x, {"y": np.eye(10, dtype=np.float32)[rng.integers(0, 10, n)]}


def train(student: Student, state: State | None = None, n: int = 33, **changes: Any) -> Any:
    x, inputs = samples(n)
    settings: dict[str, Any] = {"epochs": 2, "batch": 16, "rng": np.random.default_rng(1)}
    settings |= changes
    loss = settings.pop("loss", "local")
    return student.train(state or student.initial, loss, x, inputs, **settings)


def test_training_is_torchs_adam_over_the_same_batches(student: Student) -> None:
    x, inputs = samples()
    module = normed(student.initial.theta)
    optimiser = torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.8, 0.999))
    rng, losses = np.random.default_rng(1), []
    for _ in range(2):
        order = rng.permutation(33)
        for index in (order[:16], order[16:]):  # the 33rd sample joins the second batch
            optimiser.zero_grad()
            logits = module(torch.from_numpy(x[index]))
            value = torch.nn.functional.cross_entropy(logits, torch.from_numpy(inputs["y"][index]))
            value.backward()
            optimiser.step()
            losses.append(value.item())
    done = train(student, lr=2e-3, momentum=0.8)
    assert done.steps == len(losses) == 4
    assert done.loss == pytest.approx(np.mean(losses), rel=1e-5)
    due = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    # 2 % of lr (onnx_training.md, section 7, test 1), over four steps.
    np.testing.assert_allclose(done.state.theta[:-24], due, atol=0.02 * 2e-3)
    tail = np.concatenate([module[2].running_mean.numpy(), module[2].running_var.numpy()])
    np.testing.assert_allclose(done.state.theta[-24:], tail, atol=1e-5)
    assert done.state.opt[-1] == 4
    module.eval()
    with torch.no_grad():
        logits = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(student.predict(done.state, x), logits, atol=1e-3)


def test_a_change_of_the_statistics_alone_changes_predictions(student: Student) -> None:
    x, _ = samples()
    theta = student.initial.theta.copy()
    theta[-24:-12] += 0.5
    module = normed(theta).eval()
    with torch.no_grad():
        due = module(torch.from_numpy(x)).numpy()
    found = student.predict(State(theta, student.initial.opt), x)
    np.testing.assert_allclose(found, due, atol=1e-5)
    assert np.abs(found - student.predict(student.initial, x)).max() > 0.01


def test_the_optimiser_starts_from_zero_unless_it_is_kept(student: Student) -> None:
    warm = train(student).state
    again = train(student, warm).state
    assert again.opt[-1] == 4
    kept = train(student, warm, keep_momentum=True).state
    assert kept.opt[-1] == 8
    assert np.abs(kept.theta - again.theta).max() > 1e-5


def test_a_kept_state_of_another_optimiser_is_refused(student: Student) -> None:
    x, inputs = samples()
    inputs = {**inputs, "anchor": student.initial.theta}
    more: dict[str, Any] = {"epochs": 1, "rng": np.random.default_rng(0)}
    done = student.train(student.initial, "anchored", x, inputs, **more)
    trained = student.bundle.trained
    assert done.state.opt.shape == (trained,)
    words = rf"opt has {2 * trained + 1} values, sgd of loss 'anchored' keeps {trained}"
    with pytest.raises(ValueError, match=words):
        student.train(student.initial, "anchored", x, inputs, keep_momentum=True, **more)
    with pytest.raises(ValueError, match="adam of loss 'local' keeps"):
        train(student, done.state, keep_momentum=True)


def test_a_vector_of_another_length_is_refused(student: Student) -> None:
    x, inputs = samples()
    inputs = {**inputs, "anchor": student.initial.theta[: student.bundle.trained]}
    with pytest.raises(ValueError, match="'anchor' has shape"):
        student.train(
            student.initial, "anchored", x, inputs, epochs=1, rng=np.random.default_rng(0)
        )


@pytest.mark.parametrize("changes", [{"n": 1}, {"batch": 1}])
def test_batch_norm_refuses_single_samples_with_the_remedy(
    student: Student, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="two samples or more"):
        train(student, **changes)


def test_a_single_step_on_one_sample_is_refused(student: Student) -> None:
    x, inputs = samples(1)
    with pytest.raises(ValueError, match="two samples or more"):
        student.step(student.initial, "local", x, inputs, lr=0.1, momentum=0.9)


@given(
    samples=st.integers(2, 40),
    size=st.integers(2, 12),
    epochs=st.integers(1, 3),
    paired=st.booleans(),
)
def test_a_pass_visits_every_sample_once_and_none_alone(
    samples: int, size: int, epochs: int, *, paired: bool
) -> None:
    batches = Batches(samples, size, epochs=epochs, paired=paired)
    drawn = list(batches.draw(np.random.default_rng(0)))
    assert len(drawn) == batches.total == epochs * batches.per_pass
    for start in range(0, len(drawn), batches.per_pass):
        one = drawn[start : start + batches.per_pass]
        assert sorted(np.concatenate(one)) == list(range(samples))
        assert all(len(index) == size for index in one[:-1])
        assert len(one[-1]) <= size + paired
        assert min(len(index) for index in one) >= 1 + paired
    steps = batches.total
    again = Batches(samples, size, steps=steps, paired=paired).draw(np.random.default_rng(0))
    assert [list(index) for index in again] == [list(index) for index in drawn]


def test_the_corrections_of_adam_are_exact_in_double_precision() -> None:
    # Kingma & Ba 2015, section 2: alpha_t = alpha * sqrt(1 - beta2^t) / (1 - beta1^t).
    opt = np.zeros(5, np.float32)
    found = step_scalars("adam", opt, lr=0.1, momentum=0.9)
    assert found["lr"] == np.float32(0.1 / (1 - 0.9))
    assert found["correction"] == np.float32(0.001**0.5)
    # After the first step from zero the update is lr times the sign of the gradient.
    first = np.array([0.1 * 3, 0.1 * -4, 0.001 * 9, 0.001 * 16, 1], np.float32)
    change = update("adam", first, lr=0.1, momentum=0.9)
    np.testing.assert_allclose(change, [-0.1, 0.1], rtol=1e-6)
    assert state_length("adam", 2) == len(first)


def test_the_self_test_passes_and_sees_statistics_and_moments_that_are_off(
    bundle: Bundle, student: Student
) -> None:
    student.self_test()
    golden = bundle.golden[0]
    step = golden.steps["local"]
    second = step.opt.copy()
    second[1] *= 1.01
    for wrong in ({"statistics": step.statistics * np.float32(1.01)}, {"opt": second}):
        steps = {**golden.steps, "local": dataclasses.replace(step, **wrong)}
        changed = dataclasses.replace(golden, steps=steps)
        with pytest.raises(BundleError, match="self-test failed"):
            Student(dataclasses.replace(bundle, golden=(changed,))).self_test()


def test_such_a_bundle_is_written_back_byte_for_byte(
    adam_bundle_path: Path, bundle: Bundle, tmp_path: Path
) -> None:
    again = write_bundle(tmp_path / "again.efdb", bundle)
    assert again.read_bytes() == adam_bundle_path.read_bytes()
    assert (bundle.parameters, bundle.trained, bundle.buffers) == (946, 922, 24)
    assert [len(golden.x) for golden in bundle.golden] == [2, 8]
    assert bundle.training.optimizer == "adam"
    assert bundle.losses["anchored"].optimizer == "sgd"
    assert not [
        name
        for golden in bundle.golden
        for name in golden.steps["anchored"].inputs
        if name == "anchor"
    ]
