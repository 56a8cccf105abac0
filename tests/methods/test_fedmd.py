"""FedMD against Li & Wang 2019 (arXiv 1910.03581), algorithm 1, and the authors' code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_fd import methods
from edge_fd.desk import Job
from edge_fd.errors import UsageError
from edge_fd.knowledge import Knowledge
from edge_fd.methods import Device, Round, Server
from edge_fd.requests import Predict, Samples, Train

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

FEDMD = methods.create("fedmd", {"transfer_epochs": 3, "digest_epochs": 2, "local_epochs": 1})
NO_RNG = np.random.default_rng(0)
ASKED = np.array([0, 2, 5, 7], np.uint8)


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 6), st.just(3), st.just(2)),
        elements=st.floats(-50, 50, width=32),
    )
)  # fmt: skip
def test_the_consensus_is_the_plain_mean_of_the_logits(logits: Any) -> None:
    uploads = {f"d{i}": Knowledge("logits", value) for i, value in enumerate(logits)}
    facts = Round(2, np.array([1, 4, 6], np.uint8))
    job = Job(FEDMD.fuse(Server(2, None, False), facts, uploads), None, None, NO_RNG)
    assert job.result is not None
    fused = job.result.shared
    assert fused is not None
    assert fused.kind == "logits"
    expected = logits.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(fused.value, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(fused.indices, [1, 4, 6])


def test_the_first_round_transfers_from_the_public_set_then_visits_private_data(
    bench: Any, by_label: Any
) -> None:
    device = bench.device("a")
    job = bench.run(FEDMD.device_round(device, Round(1, ASKED), None), "fedmd")
    rng, oracle = np.random.default_rng(3), bench.plain(bench.start("fedmd").theta)
    oracle.learn(bench.proxy.x, by_label(bench.proxy), rng, 3)
    oracle.learn(device.private.x, by_label(device.private), rng, 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    expected = oracle.logits(bench.proxy.x[ASKED]).detach().numpy()
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)


def test_a_later_round_digests_the_consensus_by_mean_absolute_error(
    bench: Any, by_label: Any
) -> None:
    device = bench.device("a", transferred=np.ones(1, np.uint8))
    target = np.random.default_rng(2).standard_normal((4, bench.classes)).astype(np.float32)
    consensus = Knowledge("logits", target, {"indices": ASKED})
    facts = Round(2, np.array([1, 3], np.uint8))  # not those that the consensus is about
    job = bench.run(FEDMD.device_round(device, facts, consensus), "fedmd")
    rng, oracle = np.random.default_rng(3), bench.plain(bench.start("fedmd").theta)
    wide = torch.tensor(target, dtype=torch.float64)
    absolute = torch.nn.L1Loss()  # Keras' mean_absolute_error in the authors' code
    oracle.learn(bench.proxy.x[ASKED], lambda z, index: absolute(z, wide[index]), rng, 2)
    oracle.learn(device.private.x, by_label(device.private), rng, 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    expected = oracle.logits(bench.proxy.x[[1, 3]]).detach().numpy()
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)


def asked(device: Device, number: int, knowledge: Knowledge | None) -> list[tuple[str, int]]:
    """Loss and samples of each training request of a round, none of them computed."""
    half = FEDMD.device_round(device, Round(number), knowledge)
    requests, answer = [], None
    try:
        while True:
            request = half.send(answer)
            if isinstance(request, Train):
                requests.append((request.loss, len(request.samples)))
            answer = np.zeros((len(request.samples), 4)) if isinstance(request, Predict) else None
    except StopIteration:
        return requests


def test_the_transfer_is_made_once_in_whichever_round_a_device_comes_first(bench: Any) -> None:
    # Li & Wang: every party is trained on the public set before it takes part.
    consensus = Knowledge("logits", np.zeros((9, 4), np.float32))
    late = bench.device("b")
    assert asked(late, 4, consensus) == [("local", 9), ("digest", 9), ("local", 7)]
    assert asked(late, 5, consensus) == [("digest", 9), ("local", 7)]
    assert asked(late, 6, None) == [("local", 7)]


def test_without_a_transfer_no_public_label_is_needed() -> None:
    assert FEDMD.needs_proxy_labels
    assert not methods.create("fedmd", {"transfer_epochs": 0}).needs_proxy_labels


def test_a_device_that_can_only_infer_publishes_its_logits(bench: Any) -> None:
    device = bench.device("a", "infer")
    job = bench.run(FEDMD.device_round(device, Round(1, ASKED), None), "fedmd")
    assert job.state is bench.start("fedmd")
    expected = bench.plain(job.state.theta).logits(bench.proxy.x[ASKED]).detach().numpy()
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)


def test_proxy_samples_that_are_not_there_are_named(bench: Any) -> None:
    device = bench.device("a", "infer")
    with pytest.raises(UsageError, match=r"proxy sample 9 .* has 9; use the data file"):
        next(FEDMD.device_round(device, Round(1, np.array([9], np.uint8)), None))
    bare = Device("a", 4, "infer", Samples(device.private.x), None)
    with pytest.raises(UsageError, match="proxy_x"):
        next(FEDMD.device_round(bare, Round(1), None))
