"""FedProx against Li et al., MLSys 2020, algorithm 2, and the authors' optimiser (pgd.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.preprocess import Preprocess
from devices.student import State, Student
from edge_fd import methods, students
from edge_fd.errors import UsageError
from edge_fd.exporter import export_bundle
from edge_fd.fit import check_fit
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods import METHODS, Round, Server
from edge_fd.methods.fedprox import proximal
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

FEDPROX = methods.create("fedprox", {"mu": 0.5, "weight_decay": 0.02, "local_epochs": 2})


def paper_loss(oracle: Any, samples: Any, mu: float, decay: float) -> Any:
    """h(w; w0) = F(w) + mu/2 ||w - w0||^2, w0 what the oracle holds now, and decay/2 ||w||^2."""
    y, begun = torch.tensor(samples.labels), [part.detach().clone() for part in oracle.parts]

    def loss(logits: Any, index: Any) -> Any:
        away = sum(
            ((part - start) ** 2).sum() for part, start in zip(oracle.parts, begun, strict=True)
        )
        size = sum((part**2).sum() for part in oracle.parts)
        fit = torch.nn.functional.cross_entropy(logits, y[index])
        return fit + mu / 2 * away + decay / 2 * size

    return loss


@pytest.mark.parametrize("given_weights", [False, True])
def test_a_round_of_a_device_is_algorithm_2(bench: Any, *, given_weights: bool) -> None:
    device, start = bench.device("a"), bench.start("fedprox").theta
    common = start * np.float32(0.5) if given_weights else start
    knowledge = Knowledge("weights", common) if given_weights else None
    # Whatever was in the device before must not matter where weights come in.
    state = State(-start, np.ones_like(start)) if given_weights else None
    job = bench.run(FEDPROX.device_round(device, Round(2), knowledge), "fedprox", state=state)
    oracle = bench.plain(common)
    loss = paper_loss(oracle, device.private, 0.5, 0.02)
    oracle.learn(device.private.x, loss, np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.value, job.state.theta)
    np.testing.assert_array_equal(job.result.exact["samples"], [10])
    assert not device.memory  # so that a round may run again, as in ALU


def test_without_its_terms_a_round_is_fedavgs(bench: Any) -> None:
    bare = methods.create("fedprox", {"mu": 0, "local_steps": 5})
    common = Knowledge("weights", bench.start("fedavg").theta * np.float32(0.5))
    ours = bench.run(bare.device_round(bench.device("b"), Round(2), common), "fedprox")
    fedavg = methods.create("fedavg", {"local_steps": 5})
    theirs = bench.run(fedavg.device_round(bench.device("b"), Round(2), common), "fedavg")
    np.testing.assert_allclose(ours.state.theta, theirs.state.theta, rtol=0, atol=1e-6)
    assert np.abs(ours.state.theta - common.value).max() > 0.01


@given(mu=st.floats(0, 10), decay=st.floats(0, 1), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_gradient_gains_mu_times_the_way_and_the_decay_of_the_weights(
    mu: float, decay: float, size: int, seed: int
) -> None:
    # Li et al.'s pgd.py: var -= lr * (grad + mu * (var - vstar)). FedGen's fedoptimizer.py:
    # p -= lr * (grad + lamda * (p - p*) + mu * p). Without the halves both would be doubled.
    rng = np.random.default_rng(seed)
    theta = torch.tensor(rng.standard_normal(size), requires_grad=True)
    anchor = torch.tensor(rng.standard_normal(size))
    logits, y = torch.zeros(3, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[:3]
    value = proximal(logits, y, torch.tensor(mu), torch.tensor(decay), anchor=anchor, theta=theta)
    (gradient,) = torch.autograd.grad(value, theta)
    expected = mu * (theta - anchor) + decay * theta
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-6, atol=1e-7)


def test_the_farther_from_zero_mu_is_the_nearer_the_weights_stay(bench: Any) -> None:
    start, ways = bench.start("fedprox").theta, []
    for mu in (0.0, 0.1, 1.0, 5.0):
        method = methods.create("fedprox", {"mu": mu, "local_epochs": 5})
        job = bench.run(method.device_round(bench.device("a"), Round(1), None), "fedprox")
        ways.append(float(np.linalg.norm(job.state.theta - start)))
    assert ways == sorted(ways, reverse=True)
    assert ways[-1] < ways[0] / 3


@pytest.mark.parametrize("student", ["lenet5", "dscnn"])
def test_statistics_of_batch_norm_are_not_held(tmp_path: Path, student: str) -> None:
    # Exporting compares the step of a network of convolutions with torch's, bit for a few bits.
    bundle = export_bundle(
        tmp_path / "a.efdb",
        student,
        METHODS["fedprox"].losses,
        module=students.build(student, (1, 12, 12), 4, seed=5),
        input_shape=(1, 12, 12),
        classes=4,
        preprocess=Preprocess(1.0, 0.0, (1, 12, 12)),
        method={},
        lr=0.1,
        momentum=0.0,
        batch=4,
    )
    runtime = Student(bundle)
    x = np.random.default_rng(1).standard_normal((4, 1, 12, 12)).astype(np.float32)
    inputs = {"y": np.eye(4), "mu": 0.5, "weight_decay": 0.0}
    far = bundle.theta.copy()
    far[: bundle.trained] += np.float32(0.1)
    strange = bundle.theta.copy()
    strange[bundle.trained :] += 100
    near, away, odd = (
        runtime.step(
            runtime.initial, "proximal", x, {**inputs, "anchor": anchor}, lr=0.1, momentum=0.0
        )
        for anchor in (bundle.theta, far, strange)
    )
    # mu/2 times 0.1 squared for each trained parameter.
    assert away.loss - near.loss == pytest.approx(0.25 * 0.01 * bundle.trained, rel=1e-4)
    assert odd.loss == near.loss
    np.testing.assert_array_equal(odd.state.theta, near.state.theta)
    assert (bundle.buffers > 0) == (student == "dscnn")


def test_the_weights_are_averaged_by_samples(bench: Any) -> None:
    start = bench.start("fedprox").theta
    uploads = {
        name: Knowledge("weights", start * factor, {"samples": smallest_unsigned([samples])})
        for name, factor, samples in (("a", np.float32(1), 10), ("b", np.float32(3), 30))
    }
    job = bench.run(FEDPROX.fuse(Server(4, None, True), Round(1), uploads), "fedprox")
    expected = np.average(np.stack([start, start * 3]).astype(np.float64), axis=0, weights=[10, 30])
    np.testing.assert_allclose(job.result.shared.value, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(job.state.theta, job.result.shared.value)


@pytest.mark.parametrize("key", ["mu", "weight_decay"])
def test_weights_of_the_terms_cannot_be_negative(key: str) -> None:
    with pytest.raises(UsageError, match=f"method.fedprox.{key} = -1 is out of range"):
        methods.create("fedprox", {key: -1})


def scenario(method: str, **changes: Any) -> Scenario:
    """Four devices with few labels each."""
    tree: dict[str, Any] = {
        "name": "few-labels",
        "seed": 3,
        "data": {"name": "digits", "proxy": 0, "test": 200},
        "split": {"kind": "dirichlet", "alpha": 0.3, "max_per_device": 60},
        "training": {"batch": 10},
        "rounds": {"count": 6, "evaluate_every": 6},
        "method": {"name": method, method: {"local_epochs": 2}},
        "devices": [{"count": 4, "student": "mlp", **changes}],
        "server": {"student": "mlp"},
        "channel": {"model": "ideal"},
    }
    return Scenario.parse(tree)


def test_the_common_model_learns_what_no_device_could_alone(tmp_path: Path) -> None:
    # Devices that learn alone come to 0.44 of the test part here, the common model to 0.83.
    alone = simulate(scenario("local"), tmp_path / "local").summary
    run = simulate(scenario("fedprox"), tmp_path / "fedprox")
    common = run.rounds[-1].server_accuracy
    assert alone is not None
    assert alone.accuracy_test is not None
    assert common is not None
    assert common > alone.accuracy_test + 0.25


def test_every_device_must_be_able_to_train() -> None:
    with pytest.raises(UsageError, match="'fedprox' needs devices that train"):
        check_fit(FEDPROX, scenario("fedprox", capability="infer", factory_epochs=1))
