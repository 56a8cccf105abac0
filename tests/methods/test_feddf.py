"""FedDF against Lin et al. (NeurIPS 2020, arXiv 2006.07242) and the authors' code.

The oracle is torch's own Adam, annealing, clipping and KL divergence in double precision, as in
epfml/federated-learning-public-code, FedDF-code/pcode/aggregation/noise_knowledge_transfer.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.preprocess import Preprocess
from devices.student import State, Student
from edge_fd import methods, students
from edge_fd.desk import Desk, Job
from edge_fd.exporter import export_bundle
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods import METHODS, Round, Server
from edge_fd.requests import Samples
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

STEPS, BATCH, LR = 30, 4, 0.01
FEDDF = {"server_steps": STEPS, "server_batch": BATCH, "server_lr": LR}
# Adam divides by the size of the gradient, so that rounding in float32 shows: 2 % of one step.
CLOSE = 0.02 * LR
Build = Callable[[], Any]


def wide() -> Any:
    """The network that ``bench.desk`` makes."""
    return torch.nn.Sequential(
        torch.nn.Linear(3, 128), torch.nn.ReLU(), torch.nn.Linear(128, 4)
    ).double()


def normed() -> Any:
    """Another architecture, with running statistics."""
    return torch.nn.Sequential(
        # No bias before the normalisation: its gradient is rounding alone, which Adam makes large.
        torch.nn.Linear(3, 8, bias=False),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 4),
    ).double()


def statistics(module: Any) -> list[Any]:
    return [value for value in module.buffers() if value.is_floating_point()]


def filled(build: Build, theta: Any) -> Any:
    """A module with ``theta``: its parameters in order, then the statistics of batch norm."""
    module, rest = build(), torch.tensor(np.asarray(theta, np.float64))
    with torch.no_grad():
        for value in (*module.parameters(), *statistics(module)):
            part, rest = rest[: value.numel()], rest[value.numel() :]
            value.copy_(part.reshape(value.shape))
    assert not len(rest)
    return module


def flat(module: Any) -> Any:
    values = (*module.parameters(), *statistics(module))
    return torch.cat([value.detach().reshape(-1) for value in values]).numpy()


def predicted(module: Any, x: Any) -> Any:
    with torch.no_grad():
        return module.eval()(torch.tensor(x, dtype=torch.float64))


def taught(models: list[Any], x: Any) -> Any:
    """Logits of the ensemble (n, classes): the mean of the logits, ``avg_logits``."""
    return sum(predicted(model, x) for model in models) / len(models)


class Distillation:
    """The authors' loop over the documented order of batches."""

    def __init__(self, module: Any, x: Any, teacher: Any, *, total: int = STEPS) -> None:
        self.module, self.norms = module, []
        self._x, self._teacher = torch.tensor(x, dtype=torch.float64), teacher
        self._adam = torch.optim.Adam(module.parameters(), lr=LR)
        self._falling = torch.optim.lr_scheduler.CosineAnnealingLR(self._adam, total)

    def run(self, steps: int, rng: np.random.Generator) -> Any:
        batches = self._batches(rng)
        for _ in range(steps):
            index = next(batches)
            self.module.train()
            log_p = self.module(self._x[index]).log_softmax(1)
            target = self._teacher[index].softmax(1)
            loss = torch.nn.functional.kl_div(log_p, target, reduction="batchmean")
            self._adam.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), 5)
            self.norms.append(float(norm))
            self._adam.step()
            self._falling.step()
        return flat(self.module)

    def _batches(self, rng: np.random.Generator) -> Iterator[Any]:
        while True:
            order = rng.permutation(len(self._x))
            starts = range(0, len(order), BATCH)
            batches = [order[start : start + BATCH] for start in starts]
            if statistics(self.module) and len(batches[-1]) == 1:  # no variance of one sample
                last = batches.pop()
                batches[-1] = np.concatenate([batches[-1], last])
            yield from batches


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The second architecture behind a desk."""
    torch.manual_seed(7)
    losses = METHODS["feddf"].losses
    bundle = export_bundle(
        tmp_path_factory.mktemp("feddf") / "small.efdb",
        "small",
        losses,
        module=normed().float(),
        input_shape=(3,),
        classes=4,
        preprocess=Preprocess(1.0, 0.0, (3,)),
        method={},
        lr=0.1,
        momentum=0.9,
        batch=4,
    )
    return Desk(Student(bundle), losses)


def upload(theta: Any, samples: int) -> Knowledge:
    return Knowledge(
        "weights", np.asarray(theta, np.float32), {"samples": smallest_unsigned([samples])}
    )


def near(theta: Any, seed: int, *, spread: float = 0.3) -> Any:
    """Other weights; all stay positive that are, as variances must."""
    noise = np.random.default_rng(seed).standard_normal(len(theta)) * spread
    return (theta + np.abs(noise) if (theta >= 0).all() else theta + noise).astype(np.float32)


def averaged(uploads: list[Knowledge]) -> Any:
    values = np.stack([one.value.astype(np.float64) for one in uploads])
    return np.average(values, axis=0, weights=[one.exact["samples"][0] for one in uploads])


def served(bench: Any, *, validation: Samples | None = None, **more: Any) -> Server:
    # Large samples make large gradients, so that some are clipped.
    proxy = Samples(bench.proxy.x * np.float32(4))
    return Server(4, proxy, True, validation=validation, **more)


def two(bench: Any) -> dict[str, Knowledge]:
    start = bench.start("feddf").theta
    return {"a": upload(near(start, 1), 10), "b": upload(near(start, 2), 30)}


def test_the_servers_half_is_that_of_the_authors(bench: Any) -> None:
    server, uploads = served(bench), two(bench)
    # Without labelled samples nothing is checked: all steps are taken.
    half = methods.create("feddf", {**FEDDF, "check_steps": 7}).fuse(server, Round(1), uploads)
    job = bench.run(half, "feddf")
    models = [filled(wide, one.value) for one in uploads.values()]
    teacher = taught(models, server.proxy.x)
    oracle = Distillation(filled(wide, averaged([*uploads.values()])), server.proxy.x, teacher)
    expected = oracle.run(STEPS, np.random.default_rng(3))
    assert max(oracle.norms) > 5 > min(oracle.norms)  # clipping shows
    assert np.abs(expected - averaged([*uploads.values()])).max() > 50 * CLOSE
    np.testing.assert_allclose(job.state.theta, expected, rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(job.result.shared.value, job.state.theta)
    assert not job.result.each


def test_with_validation_adam_and_the_rate_go_on_and_the_best_model_is_taken(bench: Any) -> None:
    server, uploads, check = served(bench), two(bench), 7
    models = [filled(wide, one.value) for one in uploads.values()]
    teacher = taught(models, server.proxy.x)
    oracle = Distillation(filled(wide, averaged([*uploads.values()])), server.proxy.x, teacher)
    rng = np.random.default_rng(3)
    looked = [oracle.run(min(check, STEPS - begin), rng) for begin in range(0, STEPS, check)]
    # Labels as the third of the five models gives them, so that none but it is always right.
    x = np.random.default_rng(8).standard_normal((500, 3)).astype(np.float32)
    answers = [predicted(filled(wide, theta), x).argmax(1).numpy() for theta in looked]
    shares = [(answer == answers[2]).mean() for answer in answers]
    assert sorted(shares)[-2] < 1
    server = served(bench, validation=Samples(x, answers[2]))
    half = methods.create("feddf", {**FEDDF, "check_steps": check}).fuse(server, Round(1), uploads)
    job = bench.run(half, "feddf")
    np.testing.assert_allclose(job.state.theta, looked[2], rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(job.result.shared.value, job.state.theta)


def test_each_architecture_learns_from_the_models_of_all(bench: Any, small: Desk) -> None:
    start, other = bench.start("feddf").theta, small.student.initial.theta
    groups = {"a": "", "b": "small", "c": "small", "d": ""}
    varied = near(other, 3, spread=0.1)
    varied[-8:] = np.abs(other[-8:] + 0.5)  # variances
    given = {
        "a": upload(near(start, 1), 10),
        "b": upload(varied, 20),
        "c": upload(other * np.float32(1.5), 40),
    }
    server = served(bench, groups=groups)
    job = run_two(bench, small, methods.create("feddf", FEDDF).fuse(server, Round(1), given))
    builds = {"": wide, "small": normed}
    models = [filled(builds[groups[name]], one.value) for name, one in given.items()]
    teacher, rng = taught(models, server.proxy.x), np.random.default_rng(3)
    first = Distillation(filled(wide, given["a"].value), server.proxy.x, teacher)
    mean = averaged([given["b"], given["c"]])
    second = Distillation(filled(normed, mean), server.proxy.x, teacher)
    expected = {"": first.run(STEPS, rng), "small": second.run(STEPS, rng)}
    assert job.result.shared is None
    assert set(job.result.each) == set(groups)
    for name, group in groups.items():
        value = job.result.of(name).value
        np.testing.assert_allclose(value, expected[group], rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(job.states["small"].theta, job.result.of("b").value)
    np.testing.assert_array_equal(job.state.theta, job.result.of("a").value)


def run_two(bench: Any, small: Desk, half: Any, job: Any = None) -> Job[Any]:
    """Both students answer; ``job`` is that of the round before."""
    others = {"small": (small, small.student.initial if job is None else job.states["small"])}
    begun = bench.start("feddf") if job is None else job.state
    made: Job[Any] = Job(half, bench.desk("feddf"), begun, np.random.default_rng(3), others=others)
    made.run()
    return made


def test_an_architecture_of_which_no_model_came_stays_as_it_was(bench: Any, small: Desk) -> None:
    start, other = bench.start("feddf").theta, small.student.initial.theta
    server = served(bench, groups={"a": "", "b": "small"})
    method = methods.create("feddf", FEDDF)
    wide_one, small_one = {"a": upload(near(start, 1), 10)}, {"b": upload(other, 20)}
    first = run_two(bench, small, method.fuse(server, Round(1), wide_one))
    # Before any of its models came, its devices know more than the server's student.
    assert first.result.of("b") is None
    second = run_two(bench, small, method.fuse(server, Round(2), small_one), first)
    np.testing.assert_array_equal(second.result.of("a").value, first.result.of("a").value)
    assert not np.array_equal(second.result.of("b").value, other)
    third = run_two(bench, small, method.fuse(server, Round(3), wide_one), second)
    np.testing.assert_array_equal(third.result.of("b").value, second.result.of("b").value)


@pytest.mark.parametrize("given_weights", [False, True])
def test_a_device_does_what_it_does_in_fedavg(
    bench: Any, by_label: Any, *, given_weights: bool
) -> None:
    device, start = bench.device("b"), bench.start("feddf").theta
    common = start * np.float32(0.5) if given_weights else start
    knowledge = Knowledge("weights", common) if given_weights else None
    state = State(-start, np.ones_like(start)) if given_weights else None
    half = methods.create("feddf", {"local_epochs": 2}).device_round(device, Round(2), knowledge)
    job = bench.run(half, "feddf", state=state)
    oracle = bench.plain(common)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.value, job.state.theta)
    np.testing.assert_array_equal(job.result.exact["samples"], [7])


def test_a_network_of_convolutions_can_be_exported(tmp_path: Path) -> None:
    # Exporting compares the step with torch's and raises where they differ.
    bundle = export_bundle(
        tmp_path / "a.efdb",
        "lenet5",
        METHODS["feddf"].losses,
        module=students.build("lenet5", (1, 12, 12), 4, seed=5),
        input_shape=(1, 12, 12),
        classes=4,
        preprocess=Preprocess(1.0, 0.0, (1, 12, 12)),
        method={},
        lr=0.1,
        momentum=0.9,
        batch=4,
    )
    assert bundle.losses["distil"].optimizer == "adam"
    assert bundle.losses["local"].optimizer == "sgd"


NARROW = """
from torch import nn

def narrow(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, classes))
"""


def scenario(method: str, students: tuple[str, ...], **settings: Any) -> Scenario:
    """Six devices with few labels each."""
    tree: dict[str, Any] = {
        "name": "few-labels",
        "seed": 3,
        "data": {"name": "digits", "proxy": 200, "test": 200},
        "split": {"kind": "dirichlet", "alpha": 0.3, "max_per_device": 100},
        "training": {"batch": 10},
        "rounds": {"count": 3, "evaluate_every": 3},
        "method": {"name": method, method: {"local_epochs": 10, **settings}},
        "devices": [{"count": 6 // len(students), "student": name} for name in students],
        "channel": {"model": "ideal"},
    }
    return Scenario.parse(tree)


@pytest.mark.parametrize("students", [("mlp",), ("mlp", "narrow_student:narrow")])
def test_the_common_models_learn_what_no_device_could_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, students: tuple[str, ...]
) -> None:
    # Two architectures: 0.55 of the test part alone, 0.91 the mean of the two common models.
    (tmp_path / "narrow_student.py").write_text(NARROW, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    alone = simulate(scenario("local", students), tmp_path / "local").summary
    run = simulate(scenario("feddf", students, server_steps=200), tmp_path / "feddf")
    common = run.rounds[-1].server_accuracy
    assert alone is not None
    assert alone.accuracy_test is not None
    assert common is not None
    assert common > alone.accuracy_test + 0.2
    assert run.summary is not None
    assert run.summary.one_time_proxy_bytes == 0  # the proxy set stays at the server
