"""CFD against Sattler, Marban, Rischke, Samek (IEEE Trans. Netw. Sci. Eng. 9(4), 2022)."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from broker.limits import LIMITS
from edge_fd import methods, students
from edge_fd.codecs import codec, paper_bits, simplex
from edge_fd.desk import Job
from edge_fd.errors import UsageError
from edge_fd.exporter import export_bundle
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.messages import out, piece
from edge_fd.methods import Method, Round, Server
from edge_fd.requests import Samples
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

EPOCHS = {"local_epochs": 1, "distil_epochs": 2, "server_epochs": 3}
CFD = methods.create("cfd", EPOCHS)
CLASSES, PROXY = 4, 9
NO_RNG = np.random.default_rng(0)


def cfd(**changes: Any) -> Any:
    return methods.create("cfd", {**EPOCHS, **changes})


def nearest(probs: Any, bits: int) -> Any:
    """Equation 10 by trying every point of the grid: levels (n, C)."""
    top = 2**bits - 1
    grid = [p for p in itertools.product(range(top + 1), repeat=probs.shape[1]) if sum(p) == top]
    points = np.array(grid)
    distance = np.abs(points[None] / top - np.asarray(probs, np.float64)[:, None]).sum(-1)
    return points[distance.argmin(1)]


def raw(symbols: Any, **exact: Any) -> Knowledge:
    rows = {name: np.asarray(row) for name, row in exact.items()}
    return Knowledge("symbols", np.asarray(symbols, np.float32), rows)


def whole(labels: Any) -> Knowledge:
    """Labels of one bit as they are."""
    return raw(labels, alphabet=[CLASSES], base=[0])


def soft_labels(fused: Any = (1, 1), seed: int = 6) -> Knowledge:
    rows = np.random.default_rng(seed).dirichlet(np.ones(CLASSES), PROXY).astype(np.float32)
    return Knowledge("probs", rows, {"fused": smallest_unsigned(fused)})


def soft_loss(target: Any) -> Any:
    """Cross-entropy with class probabilities, torch's own."""
    wide = torch.tensor(np.asarray(target), dtype=torch.float64)
    return lambda logits, index: torch.nn.functional.cross_entropy(logits, wide[index])


def elsewhere(bench: Any) -> Any:
    """Weights that some training has left, far from the common ones."""
    return bench.run(CFD.device_round(bench.device("b"), Round(1), None), "cfd", seed=77).state


# A round of a device.


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_a_round_of_a_device_begins_anew_distils_trains_and_labels(
    bench: Any, by_label: Any, bits: int
) -> None:
    device, teacher, method = bench.device("a"), soft_labels(), cfd(up_bits=bits)
    start = elsewhere(bench)
    job = bench.run(method.device_round(device, Round(2), teacher), "cfd", state=start)
    rng, oracle = np.random.default_rng(3), bench.plain(bench.start("cfd").theta)
    assert np.abs(start.theta - oracle.theta).max() > 1e-2
    oracle.learn(bench.proxy.x, soft_loss(teacher.value), rng, 2)
    oracle.learn(device.private.x, by_label(device.private), rng, 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    levels = nearest(oracle.probs(bench.proxy.x), bits)
    assert job.result.kind == "symbols"
    assert job.result.exact["alphabet"].tolist() == [math.comb(2**bits + 2, 3)]
    np.testing.assert_array_equal(job.result.value, simplex.rank(levels, bits))
    if bits == 1:
        np.testing.assert_array_equal(job.result.value, levels.argmax(1))


def test_the_first_round_has_nothing_to_distil(bench: Any, by_label: Any) -> None:
    device = bench.device("b")
    job = bench.run(CFD.device_round(device, Round(1), None), "cfd")
    oracle = bench.plain(bench.start("cfd").theta)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.value, oracle.probs(bench.proxy.x).argmax(1))
    assert job.result.exact["base"].tolist() == [0]


def test_a_device_that_can_only_infer_labels_and_learns_nothing(bench: Any) -> None:
    start = elsewhere(bench)
    half = CFD.device_round(bench.device("a", "infer"), Round(2), soft_labels())
    job = bench.run(half, "cfd", state=start)
    assert job.state is start
    expected = bench.plain(start.theta).probs(bench.proxy.x).argmax(1)
    np.testing.assert_array_equal(job.result.value, expected)


@pytest.mark.parametrize("bits", [1, 3])
def test_a_device_distils_the_servers_labels_on_their_grid(
    bench: Any, by_label: Any, bits: int
) -> None:
    method, server = cfd(down_bits=bits), Server(CLASSES, bench.proxy, has_student=True)
    uploads = {"a": whole(np.arange(PROXY) % 3), "b": whole(np.arange(PROXY) % 4)}
    job = bench.run(method.fuse(server, Round(1), uploads), "cfd")
    sent = job.result.shared
    probs = bench.plain(job.state.theta).probs(bench.proxy.x)
    assert sent.kind == "symbols"
    device, teacher = bench.device("a"), nearest(probs, bits) / (2**bits - 1)
    learner = bench.run(method.device_round(device, Round(2), sent), "cfd")
    rng, oracle = np.random.default_rng(3), bench.plain(bench.start("cfd").theta)
    oracle.learn(bench.proxy.x, soft_loss(teacher), rng, 2)
    oracle.learn(device.private.x, by_label(device.private), rng, 1)
    np.testing.assert_allclose(learner.state.theta, oracle.theta, rtol=0, atol=1e-6)


# A round of the server.


@pytest.mark.parametrize("bits", [1, 2])
def test_the_servers_student_goes_on_with_the_mean_and_labels(bench: Any, bits: int) -> None:
    rng = np.random.default_rng(8)
    points = nearest(rng.dirichlet(np.ones(CLASSES), 3 * PROXY), bits).reshape(3, PROXY, CLASSES)
    alphabet = [math.comb(2**bits + 2, 3)]
    uploads = {
        name: raw(simplex.rank(levels, bits), alphabet=alphabet)
        for name, levels in zip("abc", points, strict=True)
    }
    start, server = elsewhere(bench), Server(CLASSES, bench.proxy, has_student=True)
    half = cfd(up_bits=bits).fuse(server, Round(3), uploads)
    job = bench.run(half, "cfd", state=start)
    oracle = bench.plain(start.theta)
    target = points.mean(0) / (2**bits - 1)
    oracle.learn(bench.proxy.x, soft_loss(target), np.random.default_rng(3), 3)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    assert job.result.shared.kind == "probs"
    np.testing.assert_allclose(
        job.result.shared.value, oracle.probs(bench.proxy.x), rtol=0, atol=1e-6
    )


def fuse(
    uploads: dict[str, Knowledge],
    memory: Any = None,
    number: int = 1,
    *,
    method: Method = CFD,
    **facts: Any,
) -> Knowledge:
    """Fuse without a student."""
    proxy = Samples(np.zeros((len(next(iter(uploads.values())).value), 1), np.float32))
    server = Server(CLASSES, proxy, has_student=False, memory={} if memory is None else memory)
    job = Job(method.fuse(server, Round(number, **facts), uploads), None, None, NO_RNG)
    assert job.result is not None
    assert job.result.shared is not None
    return job.result.shared


def test_without_a_student_the_mean_of_the_labels_goes_back() -> None:
    shared = fuse({"a": whole([0, 1, 2]), "b": whole([0, 1, 3]), "c": whole([0, 2, 3])})
    third = np.array([[3, 0, 0, 0], [0, 2, 1, 0], [0, 0, 1, 2]]) / 3
    np.testing.assert_allclose(shared.value, third, rtol=0, atol=1e-7)


# What is refused.


def test_a_part_of_the_proxy_set_is_refused(bench: Any) -> None:
    facts = Round(1, np.array([0, 2], np.uint8))
    with pytest.raises(UsageError, match="proxy_per_round"):
        bench.run(CFD.device_round(bench.device("a"), facts, None), "cfd")
    with pytest.raises(UsageError, match="proxy_per_round"):
        bench.run(CFD.fuse(Server(CLASSES, bench.proxy, has_student=False), facts, {}), "cfd")


@pytest.mark.parametrize("bits", [0, 9, 31, 33])
def test_bits_that_do_not_exist_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match="out of range; allowed: 1 to"):
        cfd(down_bits=bits)
    with pytest.raises(UsageError, match="out of range; allowed: 1 to 8"):
        cfd(up_bits=bits)


# Bits.


def test_an_upload_has_the_bits_of_the_paper() -> None:
    """Section IV: FD sends N C 32 bit, one-bit labels at most N log2 C; a ratio of 96.3."""
    labels = np.random.default_rng(2).integers(0, 10, 80_000)
    sent = Knowledge("symbols", labels.astype(np.float32), {"alphabet": np.array([10])})
    floats = Knowledge("probs", np.full((80_000, 10), 0.1, np.float32))
    assert paper_bits(floats) == 32 * 10 * 80_000  # 3.2 MB: FD's 32.00 MB are ten such rounds
    assert paper_bits(sent) == math.ceil(80_000 * math.log2(10))
    assert paper_bits(floats) / paper_bits(sent) == pytest.approx(320 / math.log2(10), rel=1e-5)
    frame, _ = piece(sent, codec("float32"), run="r", round=1, device="d", method="cfd")
    made = out("edge-fd/1/r/up/d/knowledge", frame)
    assert made.cost is not None
    # symbols.pack: at most 0.13 % and 2 bytes above the bound; the alphabet is one byte or two.
    assert 33_219 < made.cost.payload < 33_219 * 1.0013 + 12
    assert len(made.payload) < LIMITS.frame_bytes


def test_the_changes_of_labels_that_stay_cost_next_to_nothing() -> None:
    still = Knowledge("symbols", np.zeros(80_000, np.float32), {"alphabet": np.array([11])})
    frame, bits = piece(still, codec("float32"), run="r", round=1, device="d", method="cfd")
    assert bits == math.ceil(80_000 * math.log2(11))  # the paper's bound knows no entropy
    assert frame.arrays["symbols"].size < 32


# Export and learning.


@pytest.mark.parametrize(("student", "shape"), [("mlp", (8, 8)), ("lenet5", (1, 28, 28))])
def test_its_loss_can_be_exported(tmp_path: Path, student: str, shape: tuple[int, ...]) -> None:
    # export_bundle refuses a graph whose steps differ from torch's own.
    from devices.preprocess import Preprocess

    bundle = export_bundle(
        tmp_path / "cfd.efdb",
        student,
        CFD.losses,
        module=students.build(student, shape, 10, seed=1),
        input_shape=shape,
        classes=10,
        preprocess=Preprocess(1.0, 0.0, shape),
        method={},
        lr=0.001,
        momentum=0.9,
        batch=4,
        optimizer="adam",
    )
    assert list(bundle.losses) == ["local"]


def learn(folder: Path, method: str, **given: Any) -> Any:
    tree = {
        "name": "cfd",
        "seed": 1,
        "data": {"proxy": 300, "test": 300},
        "split": {"kind": "dirichlet", "alpha": 0.2},
        "training": {"optimizer": "adam", "lr": 0.003, "batch": 16},
        "rounds": {"count": 3},
        "devices": [{"count": 4, "student": "mlp"}],
        "server": {"student": "mlp"},
        "channel": {"model": "ideal"},
        "method": {"name": method, method: {"local_epochs": 5, **given}},
    }
    return simulate(Scenario.parse(tree), folder / method, bundles=folder / "bundles")


def test_a_simulated_run_learns_with_few_bytes(tmp_path: Path) -> None:
    local = learn(tmp_path, "local")
    run = learn(tmp_path, "cfd", distil_epochs=5, server_epochs=5)
    alone = np.mean([record.accuracy_test for record in local.devices if record.round == 3])
    (*_, last) = run.rounds
    assert last.server_accuracy > alone + 0.1
    sent = [
        np.mean([record.up.payload for record in run.devices if record.round == number])
        for number in (1, 3)
    ]
    # FD sends 12,000 B; 300 labels of 10 classes are 124.6 B at most, changes to them are fewer.
    assert sent[0] < 300 * math.log2(10) / 8 + 10
    assert sent[1] < 0.7 * sent[0]
    # What a paper counts: log2 of 10 symbols, then of 11, whatever the entropy.
    bits = {record.up.paper_bits for record in run.devices}
    assert bits == {math.ceil(300 * math.log2(10)), math.ceil(300 * math.log2(11))}
