"""FedAvg against McMahan et al., AISTATS 2017, algorithm 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from devices.student import State
from edge_fd import methods
from edge_fd.desk import Job
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods import Round, Server

FEDAVG = methods.create("fedavg", {"local_epochs": 2})
NO_RNG = np.random.default_rng(0)


def upload(theta: Any, samples: int) -> Knowledge:
    return Knowledge(
        "weights", np.asarray(theta, np.float32), {"samples": smallest_unsigned([samples])}
    )


@settings(deadline=None)
@given(
    thetas=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 6)),
        elements=st.floats(-100, 100, width=32),
    ),
    data=st.data(),
)
def test_the_mean_is_weighted_by_samples(thetas: Any, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 5000), min_size=len(thetas), max_size=len(thetas)))
    uploads = {
        f"d{i}": upload(theta, n) for i, (theta, n) in enumerate(zip(thetas, counts, strict=True))
    }
    job = Job(FEDAVG.fuse(Server(2, None, False), Round(1), uploads), None, None, NO_RNG)
    fused = job.result
    assert fused is not None
    assert fused.shared is not None
    assert fused.shared.value.dtype == np.float32
    expected = np.average(thetas.astype(np.float64), axis=0, weights=counts)
    np.testing.assert_allclose(fused.shared.value, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("given_weights", [False, True])
def test_a_device_trains_from_the_common_weights_and_sends_all_of_them(
    bench: Any, by_label: Any, *, given_weights: bool
) -> None:
    device, start = bench.device("b"), bench.start("fedavg").theta
    common = start * np.float32(0.5) if given_weights else start
    knowledge = Knowledge("weights", common) if given_weights else None
    # Whatever was in the device before must not matter where weights come in.
    state = State(-start, np.ones_like(start)) if given_weights else None
    job = bench.run(FEDAVG.device_round(device, Round(2), knowledge), "fedavg", state=state)
    oracle = bench.plain(common)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 2)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(job.result.value, job.state.theta)
    np.testing.assert_array_equal(job.result.exact["samples"], [7])


def test_the_servers_student_takes_the_mean(bench: Any) -> None:
    start = bench.start("fedavg").theta
    uploads = {"a": upload(start, 10), "b": upload(start * 3, 30)}
    job = bench.run(FEDAVG.fuse(Server(4, None, True), Round(1), uploads), "fedavg")
    expected = np.average(np.stack([start, start * 3]).astype(np.float64), axis=0, weights=[10, 30])
    np.testing.assert_allclose(job.state.theta, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(job.state.theta, job.result.shared.value)
