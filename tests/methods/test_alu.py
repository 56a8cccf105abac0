"""ALU against its definition (Wu et al. 2023, arXiv 2312.04166): a schedule, and no more."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from edge_fd import Scenario, methods, simulate
from edge_fd.desk import Job
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.knowledge import Knowledge
from edge_fd.methods import METHODS, Round
from edge_fd.methods.alu import mean_of
from edge_fd.requests import Load, Reset, Train

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

ROUNDS = 3


def repeated(bench: Any, name: str, knowledge: Knowledge | None) -> tuple[Any, list[Any]]:
    """The definition: the inner method's round, again and again, from where it stood."""
    inner = methods.create(name)
    rng = np.random.default_rng(3)
    state, pieces = bench.start(name), []
    for repeat in range(ROUNDS):
        half = inner.device_round(bench.device("a"), Round(2, repeat=repeat), knowledge)
        job: Job[Any] = Job(half, bench.desk(name), state, rng)
        job.run()
        state = job.state
        pieces.append(job.result)
    return state, pieces


def table() -> Knowledge:
    rng = np.random.default_rng(1)
    return Knowledge("label_table", rng.dirichlet(np.ones(4), 4).astype(np.float32))


@pytest.mark.parametrize("which", ["last", "mean"])
def test_a_device_repeats_the_round_against_the_same_knowledge(bench: Any, which: str) -> None:
    wrapped = methods.create("alu+fd", {"alu": {"rounds": ROUNDS, "knowledge": which}})
    half = wrapped.device_round(bench.device("a"), Round(2), table())
    job = bench.run(half, "fd")
    state, pieces = repeated(bench, "fd", table())
    np.testing.assert_array_equal(job.state.theta, state.theta)
    due = pieces[-1].value
    if which == "mean":
        # Each round sees each sample once, so that the plain mean is the mean by counts.
        due = np.mean([piece.value.astype(np.float64) for piece in pieces], axis=0)
    np.testing.assert_allclose(job.result.value, due, rtol=0, atol=1e-6)
    counts = np.sum([piece.exact["counts"] for piece in pieces], axis=0)
    counts = counts if which == "mean" else pieces[-1].exact["counts"]
    np.testing.assert_array_equal(job.result.exact["counts"], counts)


def test_tables_of_unequal_counts_are_weighed_by_them() -> None:
    one = Knowledge("label_table", np.float32([[1, 0], [0, 0]]), {"counts": np.uint8([1, 0])})
    two = Knowledge("label_table", np.float32([[0, 1], [0.5, 0.5]]), {"counts": np.uint8([3, 2])})
    both = mean_of([one, two])
    np.testing.assert_array_equal(both.value, np.float32([[0.25, 0.75], [0.5, 0.5]]))
    np.testing.assert_array_equal(both.exact["counts"], [4, 2])


def test_logits_are_averaged_plainly_and_name_the_same_samples() -> None:
    where = {"indices": np.uint8([4, 9])}
    one = Knowledge("logits", np.float32([[1, -1], [0, 4]]), where)
    two = Knowledge("logits", np.float32([[3, 1], [2, 0]]), where)
    both = mean_of([one, two])
    np.testing.assert_array_equal(both.value, np.float32([[2, 0], [1, 2]]))
    np.testing.assert_array_equal(both.indices, [4, 9])


def test_one_round_is_the_method_itself(bench: Any) -> None:
    inner, wrapped = methods.create("fd"), methods.create("alu+fd", {"alu": {"rounds": 1}})
    plain = bench.run(inner.device_round(bench.device("a"), Round(2), table()), "fd")
    same = bench.run(wrapped.device_round(bench.device("a"), Round(2), table()), "fd")
    np.testing.assert_array_equal(plain.state.theta, same.state.theta)
    np.testing.assert_array_equal(plain.result.value, same.result.value)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_it_takes_over_all_that_a_method_says_of_itself(name: str) -> None:
    inner, wrapped = methods.create(name), methods.create(f"alu+{name}")
    for fact in (
        "kind", "losses", "needs_proxy", "needs_proxy_labels", "needs_training", "same_student",
        "same_features", "judges", "server_learns", "server_per_student", "least_devices",
    ):  # fmt: skip
        assert getattr(wrapped, fact) == getattr(inner, fact), fact
    assert wrapped.name == f"alu+{name}"
    assert wrapped.symbols(10) == inner.symbols(10)
    again = methods.create(wrapped.path, wrapped.settings())
    assert again == wrapped
    assert again.fingerprint() == wrapped.fingerprint() != inner.fingerprint()
    assert pickle.loads(pickle.dumps(wrapped)) == wrapped  # noqa: S301 - our own bytes


def run_of(tmp_path: Any, method: str, exchanges: int, rounds: int) -> Any:
    scenario = Scenario.parse(
        {
            "name": "alu",
            "data": {"proxy": 30, "test": 50},
            "split": {"kind": "iid", "max_per_device": 20},
            "rounds": {"count": exchanges, "evaluate_every": exchanges},
            "method": {"name": "fd", "alu": {"rounds": rounds}},
            "devices": [{"count": 2, "student": "mlp"}],
            "channel": {"model": "ideal"},
        }
    )
    return simulate(scenario, tmp_path / f"{method}-{rounds}", method=method)


@pytest.mark.parametrize("method", ["fd", "fedmd"])
def test_bytes_fall_as_one_over_the_rounds_and_computing_stays(tmp_path: Any, method: str) -> None:
    """Methods.md 7.11: bytes(tau) = bytes(1) / tau for equal local rounds."""
    work = {}
    for rounds in (1, 2, 4):
        run = run_of(tmp_path, f"alu+{method}", 8 // rounds, rounds)
        payload = sum(record.up.payload for record in run.devices)
        bits = sum(record.up.paper_bits for record in run.devices)
        down = sum(record.down.paper_bits for record in run.devices)
        trained_s = sum(record.compute_s for record in run.devices)
        work[rounds] = (payload, bits, down, trained_s)
    for rounds in (2, 4):
        for place in range(3):
            assert work[rounds][place] * rounds == work[1][place]
    # The transfer phase of FedMD and the digest of a first round without teacher differ.
    if method == "fd":
        assert work[2][3] == pytest.approx(work[1][3], rel=1e-9)
        assert work[4][3] == pytest.approx(work[1][3], rel=1e-9)


def test_wrong_settings_are_refused_with_the_remedy() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'last'"):
        methods.create("alu+fd", {"alu": {"knowledge": "lost"}})
    with pytest.raises(UsageError, match=r"alu.rounds = 0 is out of range; allowed: 1 or more"):
        methods.create("alu+fd", {"alu": {"rounds": 0}})
    with pytest.raises(UsageError, match="write it before one, as in 'alu"):
        methods.create("alu")
    with pytest.raises(UnknownNameError, match="did you mean 'alu'"):
        methods.create("alo+fd")
    with pytest.raises(UsageError, match="did you mean 'rounds'"):
        Scenario.parse(
            {
                "method": {"name": "alu+fd", "alu": {"round": 2}},
                "devices": [{"count": 2, "student": "mlp"}],
            }
        )


def test_no_training_request_is_lost_on_the_way(bench: Any) -> None:
    wrapped = methods.create("alu+fd", {"alu": {"rounds": ROUNDS}})
    half, asked = wrapped.device_round(bench.device("a"), Round(1), None), 0
    job: Job[Any] = Job(half, bench.desk("fd"), bench.start("fd"), np.random.default_rng(0))
    while job.request is not None:
        asked += isinstance(job.request, Train)
        job.answer()
    assert asked == ROUNDS


@pytest.mark.parametrize("method", ["fedavg", "fedprox", "fedntd", "fedgkd", "cfd"])
def test_no_local_round_begins_where_the_one_before_began(bench: Any, method: str) -> None:
    """Common weights are taken once for each exchange; then training goes on from itself."""
    wrapped = methods.create(f"alu+{method}", {"alu": {"rounds": ROUNDS}})
    knowledge = Knowledge("weights", np.float32(0.5) * bench.start(method).theta)
    if method == "cfd":
        knowledge = Knowledge("probs", np.full((len(bench.proxy), 4), 0.25, np.float32))
    half = wrapped.device_round(bench.device("a"), Round(2), knowledge)
    job: Job[Any] = Job(half, bench.desk(method), bench.start(method), np.random.default_rng(0))
    begun = []
    while job.request is not None:
        if isinstance(job.request, Load | Reset):
            begun.append(type(job.request))
        job.answer()
    assert begun == [Reset if method == "cfd" else Load]
