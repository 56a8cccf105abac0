"""FD against Jeong et al. 2018 (arXiv 1811.11479), section 2 and algorithm 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fd import methods
from edge_fd.desk import Job
from edge_fd.knowledge import Fused, Knowledge, smallest_unsigned
from edge_fd.methods import Round, Server
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

FD = methods.create("fd", {"gamma": 0.7, "local_epochs": 2})
NO_RNG = np.random.default_rng(0)
Holding = dict[str, npt.NDArray[np.int64]]


def rows(rng: np.random.Generator, classes: int) -> Any:
    return rng.dirichlet(np.ones(classes), classes).astype(np.float32)


def uploads_of(counts: Holding, seed: int = 0) -> dict[str, Knowledge]:
    rng = np.random.default_rng(seed)
    return {
        name: Knowledge(
            "label_table",
            rows(rng, len(n)) * (n > 0)[:, None].astype(np.float32),
            {"counts": smallest_unsigned(n)},
        )
        for name, n in counts.items()
    }


def fuse(uploads: dict[str, Knowledge], classes: int) -> Fused:
    job = Job(FD.fuse(Server(classes, None, False), Round(1), uploads), None, None, NO_RNG)
    assert job.result is not None
    return job.result


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    """How many samples of each class each device holds, many of them none."""
    classes = draw(st.integers(2, 6))
    some = st.lists(st.one_of(st.just(0), st.integers(1, 300)), min_size=classes, max_size=classes)
    all_counts = draw(st.lists(some, min_size=1, max_size=6))
    return {f"d{i}": np.array(counts) for i, counts in enumerate(all_counts)}


@settings(deadline=None)
@given(counts=holdings(), seed=st.integers(0, 99))
def test_teachers_are_the_means_over_the_other_holders(counts: Holding, seed: int) -> None:
    classes = len(counts["d0"])
    uploads = uploads_of(counts, seed)
    fused = fuse(uploads, classes)
    assert list(fused.each) == list(uploads)
    for name in uploads:
        teacher = fused.each[name]
        assert teacher.value.dtype == np.float32
        for label in range(classes):
            others = [
                uploads[other].value[label]
                for other in uploads
                if other != name and counts[other][label] > 0
            ]
            expected = np.mean(others, axis=0) if others else np.zeros(classes)
            np.testing.assert_allclose(teacher.value[label], expected, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(counts=holdings(), seed=st.integers(0, 99))
def test_who_took_no_part_is_sent_the_mean_over_all_holders(counts: Holding, seed: int) -> None:
    classes = len(counts["d0"])
    uploads = uploads_of(counts, seed)
    teacher = fuse(uploads, classes).of("absent")
    assert teacher is not None
    for label in range(classes):
        held = [uploads[name].value[label] for name in uploads if counts[name][label] > 0]
        expected = np.mean(held, axis=0) if held else np.zeros(classes)
        np.testing.assert_allclose(teacher.value[label], expected, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(counts=holdings(), seed=st.integers(0, 99))
def test_over_its_holders_the_teachers_of_a_class_add_up_to_their_means(
    counts: Holding, seed: int
) -> None:
    # Sum over i of (S - F_i) / (M - 1) = (M S - S) / (M - 1) = S.
    uploads = uploads_of(counts, seed)
    fused = fuse(uploads, len(counts["d0"]))
    for label in range(len(counts["d0"])):
        holders = [name for name in uploads if counts[name][label] > 0]
        taught = sum(fused.each[name].value[label].astype(np.float64) for name in holders)
        if len(holders) >= 2:
            means = sum(uploads[name].value[label].astype(np.float64) for name in holders)
            np.testing.assert_allclose(taught, means, rtol=0, atol=1e-6)
        else:  # a sole holder has nobody to learn from
            assert not np.any(taught)


@settings(deadline=None)
@given(counts=holdings(), seed=st.integers(0, 99), factor=st.integers(2, 50))
def test_how_many_samples_a_holder_has_does_not_matter(
    counts: Holding, seed: int, factor: int
) -> None:
    # The paper averages the devices' means, one vote each.
    skewed = {name: n * (factor if i else 1) for i, (name, n) in enumerate(counts.items())}
    classes = len(counts["d0"])
    even, uneven = fuse(uploads_of(counts, seed), classes), fuse(uploads_of(skewed, seed), classes)
    assert even.sha256 == uneven.sha256


def test_what_stands_in_the_row_of_an_absent_class_is_never_used() -> None:
    counts = {"a": np.array([3, 0]), "b": np.array([1, 5]), "c": np.array([2, 2])}
    uploads = uploads_of(counts)
    dirty = uploads["a"].value.copy()
    dirty[1] = [0.9, 0.1]
    fouled = {**uploads, "a": Knowledge("label_table", dirty, uploads["a"].exact)}
    assert fuse(fouled, 2).sha256 == fuse(uploads, 2).sha256


def paper_loss(samples: Any, table: Any, gamma: float) -> Any:
    """phi(F, y) + gamma * phi(F, teacher of y), phi the cross-entropy."""
    y, teacher = torch.tensor(samples.labels), torch.tensor(table, dtype=torch.float64)

    def loss(logits: Any, index: Any) -> Any:
        label = y[index]
        distilled = -(teacher[label] * torch.log_softmax(logits, -1)).sum(-1).mean()
        return torch.nn.functional.cross_entropy(logits, label) + gamma * distilled

    return loss


def running_table(samples: Any, seen: Any, classes: int) -> Any:
    """Algorithm 1: F[y] += F(w, b), cnt[y] += 1 at each step, with the outputs before it."""
    sums, counts = np.zeros((classes, classes)), np.zeros(classes, int)
    for index, logits in seen:
        probs = torch.softmax(torch.tensor(logits), -1).numpy()
        for sample, prob in zip(index, probs, strict=True):
            sums[samples.labels[sample]] += prob
            counts[samples.labels[sample]] += 1
    return sums / np.maximum(counts, 1)[:, None], counts


@pytest.mark.parametrize("taught", [False, True])
def test_one_round_of_a_device_is_algorithm_1(bench: Any, *, taught: bool) -> None:
    device, classes = bench.device("a"), bench.classes
    table = np.random.default_rng(1).dirichlet(np.ones(classes), classes).astype(np.float32)
    table[1] = 0  # a class without a teacher is learned from its labels alone
    knowledge = Knowledge("label_table", table) if taught else None
    job = bench.run(FD.device_round(device, Round(2), knowledge), "fd")
    oracle = bench.plain(bench.start("fd").theta)
    loss = paper_loss(device.private, table if taught else np.zeros_like(table), 0.7)
    seen = oracle.learn(device.private.x, loss, np.random.default_rng(3), 2)
    expected, counts = running_table(device.private, seen, classes)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.exact["counts"], counts)
    assert counts.sum() == 2 * len(device.private)
    assert not job.result.value[3].any()  # device a holds no sample of class 3


def test_local_steps_count_mini_batches(bench: Any) -> None:
    device = bench.device("b")  # 7 samples: a batch of 4, a batch of 3
    fd = methods.create("fd", {"gamma": 0.7, "local_steps": 3})
    job = bench.run(fd.device_round(device, Round(1), None), "fd")
    assert job.result.exact["counts"].sum() == 4 + 3 + 4
    oracle = bench.plain(bench.start("fd").theta)
    loss = paper_loss(device.private, np.zeros((4, 4)), 0.7)
    steps = oracle.train(device.private.x, loss, np.random.default_rng(3), 2)
    seen = [next(steps) for _ in range(3)]
    expected, _ = running_table(device.private, seen, bench.classes)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)


def test_a_device_that_can_only_infer_contributes_and_learns_nothing(bench: Any) -> None:
    device = bench.device("b", "infer")
    job = bench.run(FD.device_round(device, Round(2), Knowledge("label_table", np.eye(4))), "fd")
    probs = bench.plain(bench.start("fd").theta).probs(device.private.x)
    for label in range(bench.classes):
        held = device.private.labels == label
        expected = probs[held].mean(0) if held.any() else np.zeros(bench.classes)
        np.testing.assert_allclose(job.result.value[label], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.exact["counts"], [1, 3, 0, 3])
    assert job.state is bench.start("fd")


@pytest.mark.parametrize("codec", ["float32", "uint8+zstd"])
def test_sixteen_rounds_cost_the_bits_of_the_papers_table(tmp_path: Path, codec: str) -> None:
    # Jeong et al. 2018, table 1: 102,400 bit, up and down of one device, 16 rounds, 10 classes,
    # 32 bit per number, whatever the number of devices: 16 * (100 + 100) * 32.
    scenario = Scenario.parse(
        {
            "name": "jeong",
            "data": {"proxy": 0, "test": 50},
            "split": {"kind": "iid", "max_per_device": 20},
            "rounds": {"count": 16, "evaluate_every": 16},
            "devices": [{"count": 3, "student": "mlp"}],
            "channel": {"model": "ideal"},
            "transport": {"codec": codec},
        }
    )
    run = simulate(scenario, tmp_path / "run", method="fd")
    assert [record.status for record in run.rounds] == ["closed"] * 16
    for device in scenario.device_names():
        records = [record for record in run.devices if record.device == device]
        up = sum(record.up.paper_bits for record in records)
        down = sum(record.down.paper_bits for record in records)
        assert (up, down) == (51_200, 51_200)
        assert up + down == 102_400
    assert run.summary is not None
    assert run.summary.up.paper_bits + run.summary.down.paper_bits == 102_400
