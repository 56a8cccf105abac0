"""Computing elsewhere and ahead of time gives the bits of computing here and in time."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from devices.student import Student
from edge_fd import simulate
from edge_fd.desk import Desk
from edge_fd.errors import UnknownNameError
from edge_fd.kit import device_of, prepare
from edge_fd.knowledge import Knowledge
from edge_fd.methods.base import Device, Round
from edge_fd.methods.fd import FD
from edge_fd.requests import Samples
from edge_fd.run_folder import Run
from edge_fd.simulation.shelf import fill, look, without_samples
from edge_fd.simulation.workers import Workers, open_workers
from edge_fd.task import Task

RADIO = {"model": "fdma", "min_m": 5.0, "max_m": 60.0}
# Devices fall away while they compute and while messages are under way: a round takes 20 ms.
ROUGH = {"link_up_s": 0.05, "link_down_s": 0.01, "device_up_s": 0.1, "device_down_s": 0.1}
QUICK = {"count": 4, "deadline_s": 5.0, "resend_s": 1.0, "remind_s": 1.0, "quorum": 0.5}


def lines(run: Run) -> tuple[bytes, bytes]:
    folder: Path = run.path
    return (folder / "rounds.jsonl").read_bytes(), (folder / "devices.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("method", "counts"), [("fd", (1, 2)), ("fedavg", (1, 3)), ("alu+dsfl", (1, 2))]
)
def test_the_number_of_processes_changes_no_bit(
    tiny: Any, method: str, counts: tuple[int, ...]
) -> None:
    scenario = tiny.scenario(channel=RADIO, dropout=ROUGH, rounds=QUICK, server={"student": "mlp"})
    bundles = tiny.folder / "bundles"
    here, *others = (
        simulate(scenario, tiny.path(), method=method, bundles=bundles, workers=count)
        for count in counts
    )
    assert [lines(run) for run in others] == [lines(here)] * len(others)


@pytest.fixture
def task(tiny: Any, tmp_path: Path) -> tuple[Task, Desk, dict[str, Path], Path]:
    """A task, where to compute it, and the files that workers need; "e" is a twin."""
    kit = prepare(tiny.scenario(), tiny.folder / "bundles")
    name, me = next(iter(kit.devices.items()))
    desk = Desk(Student(me.bundle), kit.method.losses)
    theta = desk.student.initial.theta
    made = Task(kit.method, device_of(kit, me), Round(1, seed=3), None, theta)
    fill(tmp_path, {name: me.private, "e": me.private}, None)
    return made, desk, {name: me.bundle_path, "e": me.bundle_path}, tmp_path


@dataclass(frozen=True)
class Counting(FD):
    """FD that counts in its memory, in place."""

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> Any:
        device.memory["seen"] += 1
        return super().device_round(device, round, knowledge)


def test_a_method_may_write_into_its_memory_and_what_was_saved_stays(task: Any) -> None:
    asked, desk, _, _ = task
    seen = np.zeros(1, np.int64)
    seen.setflags(write=False)  # as what comes from disk, or from another process
    device = replace(asked.device, memory={"seen": seen})
    job = replace(asked, method=Counting(), device=device).start(desk)
    assert (job.memory["seen"], seen) == (1, 0)


def test_what_was_foreseen_otherwise_is_computed_anew(task: Any) -> None:
    """A device whose weights are not those that were foreseen must not get that outcome."""
    asked, desk, bundles, samples = task
    moved = replace(asked, theta=np.float32(0.5) * asked.theta)
    with joblib.Parallel(n_jobs=1) as parallel:
        workers = Workers(parallel, 1, bundles, samples)
        workers._begin([moved])
        job = workers.job(asked, list)
    due = asked.compute(desk)
    np.testing.assert_array_equal(job.theta, due.theta)
    assert not np.array_equal(job.theta, moved.compute(desk).theta)


def heard(kit_task: Task) -> Knowledge:
    table = np.full((kit_task.device.classes,) * 2, 0.1, np.float32)
    return Knowledge("label_table", table, {"counts": np.ones(len(table), np.uint8)})


@pytest.mark.parametrize(
    ("foresee", "calls"),
    [
        (lambda task: task, 1),
        (lambda task: replace(task, theta=task.theta.copy()), 2),
        (lambda task: replace(task, round=replace(task.round, number=2)), 2),
        (lambda task: replace(task, round=replace(task.round, acknowledged=1)), 2),
        (lambda task: replace(task, knowledge=heard(task)), 2),
    ],
    ids=["same", "weights", "round", "acknowledged", "knowledge"],
)
def test_an_outcome_is_taken_for_the_task_that_was_foreseen_only(
    task: Any, foresee: Callable[[Task], Task], calls: int
) -> None:
    asked, _, bundles, samples = task
    made: list[Any] = []

    def counted(parts: Any) -> Any:
        made.append(parts)
        return joblib.Parallel(n_jobs=1)(parts)

    workers = Workers(counted, 1, bundles, samples)  # type: ignore[arg-type]
    workers._begin([foresee(asked)])
    workers.job(asked, list)
    assert len(made) == calls


def test_outcomes_lie_in_files_that_go_with_who_looks_at_them(task: Any) -> None:
    asked, desk, bundles, samples = task
    other = replace(asked, device=replace(asked.device, name="e"))
    due = [one.compute(desk) for one in (asked, other)]
    with joblib.Parallel(n_jobs=1) as parallel:
        workers = Workers(parallel, 1, bundles, samples)
        workers._begin([replace(asked, theta=asked.theta.copy())])
        jobs = [workers.job(asked, lambda: [other]), workers.job(other, list)]
        thetas = [job.theta for job in jobs]
        workers.trim()
        assert not list(samples.glob("outcomes-*"))
        for theta, job, one in zip(thetas, jobs, due, strict=True):
            np.testing.assert_array_equal(theta, one.theta)
            assert job.result is not None
            assert one.result is not None
            np.testing.assert_array_equal(job.result.value, one.result.value)
            assert not theta.flags.writeable  # else a state would copy it
            assert theta.flags.aligned
            assert theta.__array_interface__["data"][0] % 64 == 0
        assert len(workers._maps) == 2
        del jobs, job
        workers.finish()
        gc.collect()
        assert len(workers._maps) == 2  # their weights are still looked at
        del thetas, theta
        gc.collect()
        assert len(workers._maps) == 0


def counting(calls: list[int]) -> Any:
    """Compute here; ``calls`` takes the number of tasks of each call."""

    def counted(parts: Any) -> Any:
        parts = list(parts)
        calls.append(sum(len(part[1][1]) for part in parts))
        return iter(joblib.Parallel(n_jobs=1)(parts))

    return counted


def test_what_is_begun_ahead_is_computed_once(task: Any) -> None:
    asked, _, bundles, samples = task
    other = replace(asked, device=replace(asked.device, name="e"))
    calls: list[int] = []
    workers = Workers(counting(calls), 1, bundles, samples)
    workers.ahead(lambda: [asked])
    workers.ahead(lambda: [asked, other])
    assert calls == [1, 1]
    workers.ahead(lambda: [asked, other])
    workers.job(other, list)
    workers.job(asked, list)
    assert calls == [1, 1]
    workers.job(asked, list)
    assert calls == [1, 1, 1]


def test_tasks_of_others_are_computed_along_and_not_again(task: Any) -> None:
    asked, _, bundles, samples = task
    other = replace(asked, device=replace(asked.device, name="e"))
    calls: list[int] = []
    workers = Workers(counting(calls), 1, bundles, samples)
    workers.job(asked, lambda: [asked, other])
    workers.job(other, list)
    assert calls == [2]


def test_nobody_waits_for_what_is_computed_later(task: Any) -> None:
    """The first outcome is handed out while the second is not begun; then that one, in time."""
    asked, desk, bundles, samples = task
    other = replace(asked, device=replace(asked.device, name="e"))
    taken: list[int] = []

    def one_by_one(parts: Any) -> Any:
        for number, (function, arguments, _) in enumerate(parts):
            taken.append(number)
            yield function(*arguments)

    workers = Workers(one_by_one, 1, bundles, samples)  # type: ignore[arg-type]
    workers.job(asked, lambda: [other])
    assert taken == [0]
    job = workers.job(other, list)
    assert taken == [0, 1]
    np.testing.assert_array_equal(job.theta, other.compute(desk).theta)


def test_a_task_is_sent_without_samples_and_computed_with_its_own(task: Any) -> None:
    asked, _, _, samples = task
    private = asked.device.private
    fill(samples, {asked.device.name: private}, private.take(np.arange(3)))
    look.cache_clear()
    shelf = look(str(samples))
    for proxy in (None, private.take(np.arange(3))):  # None: it is the server's alone
        given = replace(asked, device=replace(asked.device, proxy=proxy))
        sent = without_samples(given)
        assert len(sent.device.private) == 0
        assert sent.device.proxy is None or len(sent.device.proxy) == 0
        found = shelf.put_back(sent).device
        np.testing.assert_array_equal(found.private.x, private.x)
        assert (found.proxy is None) == (proxy is None)
        if found.proxy is not None and proxy is not None:
            np.testing.assert_array_equal(found.proxy.x, proxy.x)


def test_nothing_is_computed_twice_where_nothing_is_lost(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipts are still on air when the next round is announced, and count already."""
    begun: list[tuple[str, int]] = []
    call = Workers._call

    def counted(self: Workers, part: Any) -> Any:
        begun.extend((task.device.name, task.round.number) for task in part)
        return call(self, part)

    monkeypatch.setattr(Workers, "_call", counted)
    scenario = tiny.scenario(channel=RADIO)
    simulate(scenario, tiny.path(), bundles=tiny.folder / "bundles", workers=2)
    devices = [f"d-{number:02}" for number in range(3)]
    assert sorted(begun) == [(name, number) for name in devices for number in (1, 2, 3)]


@pytest.mark.parametrize("labels", [True, False])
def test_samples_come_back_from_the_shelf_as_they_were(tmp_path: Path, *, labels: bool) -> None:
    rng = np.random.default_rng(0)
    given = {
        name: Samples(
            rng.integers(0, 255, (count, 2, 3), np.uint8),
            rng.integers(0, 9, count) if labels else None,
        )
        for name, count in {"b": 2, "a": 1, "c": 4}.items()
    }
    fill(tmp_path, given, given["c"])
    shelf = look(str(tmp_path))
    for found, due in [(shelf.private[n], given[n]) for n in given] + [(shelf.proxy, given["c"])]:
        assert found is not None
        assert found.x.dtype == due.x.dtype
        assert (found.y is None) == (not labels)
        np.testing.assert_array_equal(found.x, due.x)
        np.testing.assert_array_equal(found.y, due.y)  # type: ignore[arg-type]


def test_the_steps_of_a_replayed_job_are_those_of_a_job_here(task: Any) -> None:
    asked, desk, _, _ = task
    live, steps = asked.start(desk), []
    while not live.over:
        steps.append((live.kind, live.work))
        live.answer()
    assert list(asked.compute(desk).asked) == steps
    assert [kind for kind, _ in steps] == ["train"]


def test_what_a_device_remembers_is_its_own_until_the_task_is_over(task: Any) -> None:
    """A power cut in mid-computation throws the new memory away; the old one must be as it was."""
    asked, desk, _, _ = task

    class Remembers(FD):
        def device_round(self, device: Any, round: Any, knowledge: Any) -> Any:
            device.memory["seen"] = np.ones(1)
            return super().device_round(device, round, knowledge)

    remembers = replace(asked, method=Remembers(), device=replace(asked.device, memory={}))
    assert list(remembers.compute(desk).memory) == ["seen"]
    assert remembers.device.memory == {}


def test_an_unknown_backend_is_refused_with_the_nearest_known() -> None:
    with (
        pytest.raises(UnknownNameError, match="did you mean 'ray'"),
        open_workers(2, {}, backend="rey"),
    ):
        pass


RAY = """
import sys
import ray
from edge_fd import Scenario, simulate
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
scenario, out, bundles = Scenario.load(sys.argv[1]), sys.argv[2], sys.argv[3]
simulate(scenario, out, bundles=bundles, workers=2, backend="ray")
"""


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra 'ray'")
def test_a_local_ray_cluster_computes_the_same_bits(tiny: Any, tmp_path: Path) -> None:
    scenario = tiny.scenario(channel=RADIO)
    here = simulate(scenario, tiny.path(), bundles=tiny.folder / "bundles")
    (tmp_path / "tiny.toml").write_text(scenario.to_toml())
    there = tmp_path / "there"
    arguments = [str(path) for path in (tmp_path / "tiny.toml", there, tiny.folder / "bundles")]
    command = [sys.executable, "-c", RAY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    from edge_fd.run_folder import load_run

    assert lines(load_run(there)) == lines(here)
