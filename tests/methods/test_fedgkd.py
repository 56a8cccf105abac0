"""FedGKD against Yao et al. 2021 (arXiv 2107.00051) and the authors' code (CGCL-codes/FedGKD)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from devices.preprocess import Preprocess
from devices.student import State
from edge_fd import methods, students
from edge_fd.errors import UsageError
from edge_fd.exporter import export_bundle
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods import METHODS, Device, Round, Server
from edge_fd.methods.fedgkd import global_distillation
from edge_fd.requests import Load, Predict, Read, Samples, Train
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

FEDGKD = methods.create("fedgkd", {"gamma": 3.0, "local_epochs": 2})
THREE = methods.create("fedgkd", {"gamma": 3.0, "local_epochs": 2, "models": 3})
F = torch.nn.functional
Vector = npt.NDArray[np.float32]


def paper_loss(samples: Any, teacher: Any, gamma: float) -> Any:
    """CE + gamma/2 KL(teacher || student), torch's own kl_div."""
    y = torch.tensor(samples.labels)

    def loss(logits: Any, index: Any) -> Any:
        ours, theirs = F.log_softmax(logits, 1), F.softmax(teacher[index], 1)
        kept = F.kl_div(ours, theirs, reduction="batchmean")
        return F.cross_entropy(logits, y[index]) + gamma / 2 * kept

    return loss


def test_the_loss_has_the_value_worked_out_by_hand() -> None:
    # Student (1/2, 1/2), teacher (3/4, 1/4): CE = ln 2, KL = 3/4 ln 3/2 + 1/4 ln 1/2 = 0.130812.
    # The other direction, KL(student || teacher), would be 0.143841.
    teacher = torch.tensor([[np.log(3.0), 0.0]])
    value = global_distillation(
        torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), teacher, torch.tensor(0.2)
    )
    assert value.item() == pytest.approx(np.log(2) + 0.1 * 0.130812, abs=1e-6)


@given(
    hnp.arrays(np.float64, (3, 5), elements=st.floats(-20, 20)),
    st.lists(st.integers(0, 4), min_size=3, max_size=3),
)
def test_a_student_that_is_its_teacher_has_nothing_to_keep(logits: Any, labels: Any) -> None:
    z, y = torch.tensor(logits), torch.tensor(labels)
    value = global_distillation(z, F.one_hot(y, 5).double(), z, torch.tensor(1e3))
    assert abs((value - F.cross_entropy(z, y)).item()) < 1e-9


def test_a_teacher_that_is_sure_in_single_precision_stays_finite() -> None:
    # exp(-300) is 0 in float32; KL is then ln of one over the student's 1/2.
    teacher = torch.tensor([[300.0, 0.0]])
    student = torch.zeros(1, 2, requires_grad=True)
    value = global_distillation(student, torch.tensor([[0.0, 1.0]]), teacher, torch.tensor(2.0))
    assert value.item() == pytest.approx(2 * np.log(2), rel=1e-6)
    (slope,) = torch.autograd.grad(value, student)
    np.testing.assert_allclose(slope.numpy(), [[0, 0]], atol=1e-6)  # (1/2, -1/2) + (-1/2, 1/2)


def others(start: Vector, count: int) -> list[Vector]:
    """As many networks, nothing to do with one another."""
    rng = np.random.default_rng(4)
    return [rng.permutation(start) for _ in range(count)]


def test_a_round_of_a_device_learns_from_labels_and_the_received_model(bench: Any) -> None:
    device, start = bench.device("a"), bench.start("fedgkd").theta
    (common,) = others(start, 1)
    state = State(start, np.ones_like(start))  # must not matter where weights come in
    half = FEDGKD.device_round(device, Round(2), Knowledge("weights", common))
    job = bench.run(half, "fedgkd", state=state)
    oracle = bench.plain(common)
    teacher = oracle.logits(device.private.x).detach()
    loss = paper_loss(device.private, teacher, 3.0)
    oracle.learn(device.private.x, loss, np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.value, job.state.theta)
    np.testing.assert_array_equal(job.result.exact["samples"], [10])
    assert not device.memory  # one model needs no keeping


def test_the_teacher_is_the_mean_of_the_last_models_the_student_begins_from_the_last(
    bench: Any,
) -> None:
    device, received = bench.device("a"), others(bench.start("fedgkd").theta, 5)
    for number, common in enumerate(received, 2):
        half = THREE.device_round(device, Round(number), Knowledge("weights", common))
        job = bench.run(half, "fedgkd")
        until = number - 1  # models so far
        oracle = bench.plain(common)
        mean = np.mean(np.asarray(received[max(0, until - 3) : until], np.float64), axis=0)
        teacher = bench.plain(mean).logits(device.private.x).detach()
        loss = paper_loss(device.private, teacher, 3.0)
        oracle.learn(device.private.x, loss, np.random.default_rng(3), 2)
        np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
        assert sum(len(array) for array in device.memory.values()) == min(until, 3)


def test_a_model_that_comes_again_counts_once(bench: Any) -> None:
    # After a round that failed, and in each local round of ALU, the knowledge is the same.
    device, received = bench.device("b"), others(bench.start("fedgkd").theta, 2)
    for common in received:
        knowledge = Knowledge("weights", common)
        once = bench.run(THREE.device_round(device, Round(2), knowledge), "fedgkd")
        kept = {name: array.copy() for name, array in device.memory.items()}
        again = bench.run(THREE.device_round(device, Round(2), knowledge), "fedgkd")
        np.testing.assert_array_equal(again.state.theta, once.state.theta)
        for name, array in kept.items():
            np.testing.assert_array_equal(device.memory[name], array)
            assert isinstance(array, np.ndarray)  # what is kept across a restart


def test_the_first_round_has_no_teacher(bench: Any, by_label: Any) -> None:
    device = bench.device("b")
    job = bench.run(THREE.device_round(device, Round(1), None), "fedgkd")
    oracle = bench.plain(bench.start("fedgkd").theta)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    assert not device.memory


@pytest.mark.parametrize(
    ("batch_norm", "statistics"), [("average", [5.0, 6.0]), ("local", [8.0, 9.0])]
)
def test_the_teachers_running_statistics_are_averaged_along_or_the_devices_own(
    batch_norm: str, statistics: list[float]
) -> None:
    method = methods.create("fedgkd", {"models": 2, "batch_norm": batch_norm})
    samples = Samples(np.zeros((1, 3), np.float32), np.zeros(1, np.int64))
    device = Device("a", 2, "train", samples, None, buffers=2)
    first, second = np.array([[1, 2, 4, 5], [3, 4, 6, 7]], np.float32)
    own = np.array([0, 0, 8, 9], np.float32)
    asked: list[Any] = []
    for common in (first, second):
        half = method.device_round(device, Round(2), Knowledge("weights", common))
        request = next(half)
        while not isinstance(request, Train):
            asked.append(request)
            blank = np.zeros((1, 2), np.float32) if isinstance(request, Predict) else None
            request = half.send(own if isinstance(request, Read) else blank)
        half.close()
    loaded, teacher = [item for item in asked if isinstance(item, Load | Predict)][-2:]
    np.testing.assert_array_equal(teacher.theta, [2, 3, *statistics])
    begun = second[2:] if batch_norm == "average" else own[2:]
    np.testing.assert_array_equal(loaded.theta, [3, 4, *begun])


def test_the_weights_are_averaged_by_samples(bench: Any) -> None:
    start = bench.start("fedgkd").theta
    uploads = {
        name: Knowledge("weights", start * factor, {"samples": smallest_unsigned([samples])})
        for name, factor, samples in (("a", np.float32(1), 10), ("b", np.float32(3), 30))
    }
    job = bench.run(FEDGKD.fuse(Server(4, None, True), Round(1), uploads), "fedgkd")
    expected = np.average(np.stack([start, start * 3]).astype(np.float64), axis=0, weights=[10, 30])
    np.testing.assert_allclose(job.result.shared.value, expected, rtol=1e-6, atol=1e-7)


def test_a_network_of_convolutions_can_be_exported(tmp_path: Path) -> None:
    # Exporting compares the step with torch's and raises where they differ.
    bundle = export_bundle(
        tmp_path / "a.efdb",
        "lenet5",
        METHODS["fedgkd"].losses,
        module=students.build("lenet5", (1, 12, 12), 4, seed=5),
        input_shape=(1, 12, 12),
        classes=4,
        preprocess=Preprocess(1.0, 0.0, (1, 12, 12)),
        method={},
        lr=0.1,
        momentum=0.9,
        batch=4,
    )
    assert bundle.losses["distil"].names == ("y", "teacher", "gamma")


@pytest.mark.parametrize(("key", "value"), [("models", 0), ("gamma", -0.1)])
def test_a_setting_out_of_range_is_named(key: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"method.fedgkd.{key} = {value} is out of range"):
        methods.create("fedgkd", {key: value})


def scenario(method: str, **settings: Any) -> Scenario:
    """Four devices with few labels each."""
    tree: dict[str, Any] = {
        "name": "few-labels",
        "seed": 3,
        "data": {"name": "digits", "proxy": 0, "test": 200},
        "split": {"kind": "dirichlet", "alpha": 0.3, "max_per_device": 60},
        "training": {"batch": 10},
        "rounds": {"count": 6, "evaluate_every": 6},
        "method": {"name": method, method: {"local_epochs": 2, **settings}},
        "devices": [{"count": 4, "student": "mlp"}],
        "server": {"student": "mlp"},
        "channel": {"model": "ideal"},
    }
    return Scenario.parse(tree)


def test_the_common_model_learns_what_no_device_could_alone(tmp_path: Path) -> None:
    # Devices that learn alone come to 0.44 of the test part here, the common model to 0.82.
    alone = simulate(scenario("local"), tmp_path / "local").summary
    run = simulate(scenario("fedgkd", models=5), tmp_path / "fedgkd")
    common = run.rounds[-1].server_accuracy
    assert alone is not None
    assert alone.accuracy_test is not None
    assert common is not None
    assert common > alone.accuracy_test + 0.25
