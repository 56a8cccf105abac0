"""FedProto against Tan et al. (AAAI 2022, arXiv 2105.00243) and the authors' code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from devices.preprocess import Preprocess
from edge_fd import methods, students
from edge_fd.desk import Job
from edge_fd.errors import UsageError
from edge_fd.exporter import export_bundle
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods import METHODS, Round, Server
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

FEDPROTO = methods.create("fedproto", {"prototype_weight": 0.7, "local_epochs": 2})
NO_RNG = np.random.default_rng(0)
WIDTH = 128
COUNTS = np.array([3, 0, 2, 1], np.uint8)  # nobody has a prototype of class 1


def common(seed: int = 1) -> Knowledge:
    value = np.random.default_rng(seed).standard_normal((4, WIDTH)).astype(np.float32)
    return Knowledge("prototypes", value * (COUNTS > 0)[:, None], {"counts": COUNTS})


def person(bench: Any, name: str, capability: str = "train") -> Any:
    return replace(bench.device(name, capability), features=WIDTH)


def features(oracle: Any, x: Any) -> Any:
    """What the last layer takes."""
    first, bias, *_ = oracle.parts
    return (torch.tensor(x, dtype=torch.float64) @ first.T + bias).clamp(min=0)


def authors_loss(oracle: Any, samples: Any, prototypes: dict[int, Any], weight: float) -> Any:
    """``update_weights_het`` of yuetan031/FedProto, lib/update.py, in double precision."""
    y = torch.tensor(samples.labels)

    def loss(logits: Any, index: Any) -> Any:
        protos = features(oracle, samples.x[index])
        target = protos.detach().clone()
        for row, label in enumerate(y[index].tolist()):
            if label in prototypes:
                target[row] = torch.tensor(prototypes[label], dtype=torch.float64)
        distance = torch.nn.MSELoss()(target, protos)
        return torch.nn.functional.cross_entropy(logits, y[index]) + weight * distance

    return loss


def class_means(oracle: Any, samples: Any) -> dict[int, Any]:
    """Equation 3, of the classes that there are."""
    seen = features(oracle, samples.x).detach().numpy()
    return {int(k): seen[samples.labels == k].mean(0) for k in np.unique(samples.labels)}


@pytest.mark.parametrize("taught", [False, True])
def test_one_round_of_a_device_is_that_of_the_authors(bench: Any, *, taught: bool) -> None:
    device = person(bench, "a")  # 0, 1 and 2: class 1 has no prototype, class 3 no sample
    knowledge = common() if taught else None
    job = bench.run(FEDPROTO.device_round(device, Round(2), knowledge), "fedproto")
    oracle = bench.plain(bench.start("fedproto").theta)
    prototypes = {label: common().value[label] for label in (0, 2, 3)} if taught else {}
    loss = authors_loss(oracle, device.private, prototypes, 0.7)
    oracle.learn(device.private.x, loss, np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.exact["counts"], [5, 3, 2, 0])
    expected = class_means(oracle, device.private)
    for label in range(4):
        mean = expected.get(label, np.zeros(WIDTH))
        np.testing.assert_allclose(job.result.value[label], mean, rtol=0, atol=1e-6)


def test_the_first_round_is_cross_entropy_alone(bench: Any, by_label: Any) -> None:
    device = person(bench, "b")
    job = bench.run(FEDPROTO.device_round(device, Round(1), None), "fedproto")
    oracle = bench.plain(bench.start("fedproto").theta)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)


@pytest.mark.parametrize("capability", ["train", "infer"])
def test_a_device_answers_by_the_common_prototypes_and_fills_in_its_own(
    bench: Any, capability: str
) -> None:
    device, knowledge = person(bench, "a", capability), common()
    job = bench.run(FEDPROTO.device_round(device, Round(2), knowledge), "fedproto")
    kept = device.memory["prototypes"]
    for label in (0, 2, 3):
        np.testing.assert_array_equal(kept[label], knowledge.value[label])
    np.testing.assert_array_equal(kept[1], job.result.value[1])
    assert kept[1].any()
    assert device.memory["known"].all()


def test_a_device_that_can_only_infer_contributes_and_learns_nothing(bench: Any) -> None:
    device = person(bench, "b", "infer")
    job = bench.run(FEDPROTO.device_round(device, Round(2), common()), "fedproto")
    assert job.state is bench.start("fedproto")
    expected = class_means(bench.plain(job.state.theta), device.private)
    assert set(expected) == {0, 1, 3}
    for label, mean in expected.items():
        np.testing.assert_allclose(job.result.value[label], mean, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.exact["counts"], [1, 3, 0, 3])
    before = {key: array.copy() for key, array in device.memory.items()}
    again = bench.run(FEDPROTO.device_round(device, Round(2), common()), "fedproto")
    np.testing.assert_array_equal(again.result.value, job.result.value)
    for key, array in before.items():  # a round may run again, as in ALU
        np.testing.assert_array_equal(device.memory[key], array)


Holding = dict[str, npt.NDArray[np.int64]]


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    """How many samples of each class each device holds, many of them none."""
    classes = draw(st.integers(2, 5))
    some = st.lists(st.one_of(st.just(0), st.integers(1, 300)), min_size=classes, max_size=classes)
    counts = draw(st.lists(some, min_size=1, max_size=5))
    return {f"d{i}": np.array(row) for i, row in enumerate(counts)}


def uploads_of(counts: Holding, seed: int) -> dict[str, Knowledge]:
    """Rows of absent classes hold something too, which must not matter."""
    rng = np.random.default_rng(seed)
    return {
        name: Knowledge(
            "prototypes",
            rng.standard_normal((len(n), 3)).astype(np.float32),
            {"counts": smallest_unsigned(n)},
        )
        for name, n in counts.items()
    }


def fuse(uploads: dict[str, Knowledge], classes: int, *, weighted: bool) -> Knowledge:
    method = methods.create("fedproto", {"weighted": weighted})
    job = Job(method.fuse(Server(classes, None, False), Round(1), uploads), None, None, NO_RNG)
    assert job.result is not None
    assert job.result.shared is not None
    return job.result.shared


@settings(deadline=None)
@given(counts=holdings(), seed=st.integers(0, 99), weighted=st.booleans())
def test_the_prototype_of_a_class_is_the_mean_over_its_holders(
    counts: Holding, seed: int, *, weighted: bool
) -> None:
    classes = len(counts["d0"])
    uploads = uploads_of(counts, seed)
    fused = fuse(uploads, classes, weighted=weighted)
    for label in range(classes):
        held = [name for name in uploads if counts[name][label] > 0]
        assert fused.exact["counts"][label] == len(held)
        if not held:
            assert not fused.value[label].any()
            continue
        rows = np.stack([uploads[name].value[label].astype(np.float64) for name in held])
        shares = [counts[name][label] for name in held] if weighted else None
        expected = np.average(rows, axis=0, weights=shares)
        np.testing.assert_allclose(fused.value[label], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_what_all_agree_on_is_not_shrunk(*, weighted: bool) -> None:
    # Equation 6 as printed divides by the number of devices once more, and would give 1/3 of it.
    same = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
    counts = {"a": [1, 9], "b": [5, 2], "c": [100, 1]}
    uploads = {
        name: Knowledge("prototypes", same, {"counts": smallest_unsigned(n)})
        for name, n in counts.items()
    }
    np.testing.assert_allclose(fuse(uploads, 2, weighted=weighted).value, same, rtol=1e-6)


def test_by_default_samples_weigh_as_in_equation_6() -> None:
    assert methods.create("fedproto").settings()["weighted"] is True


@settings(deadline=None)
@given(st.integers(0, 999), st.lists(st.booleans(), min_size=5, max_size=5))
def test_the_answer_is_the_nearest_prototype(seed: int, present: list[bool]) -> None:
    rng, known = np.random.default_rng(seed), np.array(present)
    prototypes = (rng.standard_normal((5, 4)) * known[:, None]).astype(np.float32)
    outputs = rng.standard_normal((7, 4)).astype(np.float32)
    scores = FEDPROTO.judge({"prototypes": prototypes, "known": known}, outputs)
    assert scores.shape == (7, 5)
    if not known.any():
        return
    far = np.where(known, cdist(outputs, prototypes, "sqeuclidean"), np.inf)
    np.testing.assert_array_equal(scores.argmax(-1), far.argmin(-1))
    np.testing.assert_allclose(scores[:, known], -far[:, known], rtol=1e-5)


def test_a_class_without_a_prototype_never_wins() -> None:
    # Its row of zeros would be the nearest of all.
    memory = {
        "prototypes": np.array([[0, 0], [3, 4]], np.float32),
        "known": np.array([False, True]),
    }
    assert FEDPROTO.judge(memory, np.zeros((3, 2), np.float32)).argmax(-1).tolist() == [1, 1, 1]


def test_before_its_first_round_a_device_answers_class_0() -> None:
    scores = FEDPROTO.judge({}, np.ones((3, 2), np.float32))
    assert scores.argmax(-1).tolist() == [0, 0, 0]


def test_a_network_of_convolutions_can_be_exported(tmp_path: Path) -> None:
    # Exporting compares the step with torch's and raises where they differ.
    bundle = export_bundle(
        tmp_path / "a.efdb",
        "lenet5",
        METHODS["fedproto"].losses,
        module=students.build("lenet5", (1, 12, 12), 4, seed=5),
        input_shape=(1, 12, 12),
        classes=4,
        preprocess=Preprocess(1.0, 0.0, (1, 12, 12)),
        method={},
        lr=0.1,
        momentum=0.9,
        batch=4,
    )
    assert bundle.losses["align"].names == ("y", "taught", "weight", "prototypes")
    assert bundle.features == 64


def scenario(method: str, *students: str, **settings: Any) -> Scenario:
    """Four devices with few labels each."""
    tree: dict[str, Any] = {
        "name": "few-labels",
        "seed": 3,
        "data": {"name": "digits", "proxy": 0, "test": 200},
        "split": {"kind": "dirichlet", "alpha": 0.3, "max_per_device": 60},
        "training": {"batch": 10},
        "rounds": {"count": 6, "evaluate_every": 6},
        "method": {"name": method, method: {"local_epochs": 2, **settings}},
        "devices": [
            {"count": 4 // len(students), "student": student, "name": f"d{i}"}
            for i, student in enumerate(students)
        ],
        "channel": {"model": "ideal"},
    }
    return Scenario.parse(tree)


def test_students_of_unlike_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one width of them, the students have"):
        simulate(scenario("fedproto", "mlp", "lenet5"), tmp_path / "run")


def test_devices_learn_from_each_others_prototypes(tmp_path: Path) -> None:
    # Alone devices come to 0.42 of the test part, by the prototypes of all to 0.50.
    alone = simulate(scenario("local", "mlp"), tmp_path / "local").summary
    shared = simulate(scenario("fedproto", "mlp"), tmp_path / "fedproto").summary
    assert alone is not None
    assert alone.accuracy_test is not None
    assert shared is not None
    assert shared.accuracy_test is not None
    assert shared.accuracy_test > alone.accuracy_test + 0.05
