"""Local training: plain SGD on the device's own data, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_fd import methods
from edge_fd.knowledge import Fused
from edge_fd.methods import Round, Server

LOCAL = methods.create("local", {"local_epochs": 2})


def test_one_round_is_textbook_sgd_on_private_data(bench: Any, by_label: Any) -> None:
    device = bench.device("a")
    job = bench.run(LOCAL.device_round(device, Round(1), None), "local")
    oracle = bench.plain(bench.start("local").theta)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 2)
    assert job.result is None
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)


def test_a_device_that_can_only_infer_is_left_as_it_is(bench: Any) -> None:
    job = bench.run(LOCAL.device_round(bench.device("a", "infer"), Round(1), None), "local")
    assert job.result is None
    assert job.state is bench.start("local")


def test_nothing_is_fused(bench: Any) -> None:
    assert bench.run(LOCAL.fuse(Server(4, None, False), Round(1), {}), "local").result == Fused()
