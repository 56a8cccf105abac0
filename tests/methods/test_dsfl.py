"""DS-FL against Itahara et al. (arXiv 2008.06180) and two reference codes (AIJack, SCARLET)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

from edge_fd import methods
from edge_fd.desk import Job
from edge_fd.knowledge import Knowledge
from edge_fd.methods import Round, Server
from edge_fd.methods.dsfl import sharpen

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

SETTINGS = {"local_epochs": 1, "distil_epochs": 2, "server_epochs": 3}
DSFL = methods.create("dsfl", {**SETTINGS, "temperature": 0.1})
NO_RNG = np.random.default_rng(0)
ASKED = np.array([0, 2, 5, 7], np.uint8)


def peaked(top: float) -> Any:
    """Ten classes: one of probability ``top``, the others share the rest."""
    return np.array([top, *[(1 - top) / 9] * 9])


# Numbers of the ERA definition, softmax of probabilities over T, worked out by hand:
# exp(top / T) / (exp(top / T) + 9 exp(rest / T)).
@pytest.mark.parametrize(
    ("top", "temperature", "sharpened"),
    [(0.19, 0.1, 0.232), (0.4, 0.1, 0.757), (0.91, 0.1, 0.9989), (0.91, 1.0, 0.215)],
)
def test_the_sharpening_has_the_known_numbers(
    top: float, temperature: float, sharpened: float
) -> None:
    digits = len(str(sharpened)) - 2
    assert round(float(sharpen(peaked(top), temperature)[0]), digits) == sharpened


def test_a_temperature_of_one_flattens_and_is_no_identity() -> None:
    assert sharpen(peaked(0.91), 1.0)[0] < 0.3


@settings(deadline=None)
@given(classes=st.integers(2, 50), temperature=st.floats(1e-3, 100))
def test_uniform_stays_uniform(classes: int, temperature: float) -> None:
    uniform = np.full((1, classes), 1 / classes)
    np.testing.assert_allclose(sharpen(uniform, temperature), uniform, rtol=1e-12)


@settings(deadline=None)
@given(
    weights=hnp.arrays(np.float64, (3, 5), elements=st.floats(0.01, 1)),
    temperature=st.floats(1e-3, 10),
)
def test_sharpening_keeps_the_order_of_the_classes(weights: Any, temperature: float) -> None:
    probs = weights / weights.sum(-1, keepdims=True)
    sharp = sharpen(probs, temperature)
    np.testing.assert_allclose(sharp.sum(-1), 1, rtol=1e-12)
    best = probs == probs.max(-1, keepdims=True)
    assert (sharp[best] >= np.repeat(sharp.max(-1), best.sum(-1))).all()


def soft_uploads() -> dict[str, Knowledge]:
    rng = np.random.default_rng(6)
    return {
        name: Knowledge("probs", rng.dirichlet(np.ones(4), 4).astype(np.float32))
        for name in ("a", "b", "c")
    }


def fuse(temperature: float) -> Knowledge:
    method = methods.create("dsfl", {"temperature": temperature})
    half = method.fuse(Server(4, None, False), Round(1, ASKED), soft_uploads())
    job = Job(half, None, None, NO_RNG)
    assert job.result is not None
    assert job.result.shared is not None
    return job.result.shared


def test_the_soft_labels_are_the_sharpened_mean() -> None:
    fused = fuse(0.1)
    mean = np.mean([upload.value.astype(np.float64) for upload in soft_uploads().values()], axis=0)
    np.testing.assert_allclose(fused.value, softmax(mean / 0.1, axis=-1), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(fused.indices, ASKED)


def test_temperature_zero_is_the_simple_average() -> None:
    mean = np.mean([upload.value.astype(np.float64) for upload in soft_uploads().values()], axis=0)
    np.testing.assert_allclose(fuse(0.0).value, mean, rtol=0, atol=1e-7)


def soft_loss(target: Any) -> Any:
    """Cross-entropy with class probabilities, torch's own."""
    wide = torch.tensor(target, dtype=torch.float64)
    return lambda logits, index: torch.nn.functional.cross_entropy(logits, wide[index])


def test_a_round_of_a_device_distils_then_trains_then_labels(bench: Any, by_label: Any) -> None:
    device = bench.device("a")
    soft = soft_uploads()["a"].value
    knowledge = Knowledge("probs", soft, {"indices": ASKED})
    facts = Round(2, np.array([1, 3], np.uint8))
    job = bench.run(DSFL.device_round(device, facts, knowledge), "dsfl")
    rng, oracle = np.random.default_rng(3), bench.plain(bench.start("dsfl").theta)
    oracle.learn(bench.proxy.x[ASKED], soft_loss(soft), rng, 2)
    oracle.learn(device.private.x, by_label(device.private), rng, 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        job.result.value, oracle.probs(bench.proxy.x[[1, 3]]), rtol=0, atol=1e-6
    )


def test_the_first_round_has_nothing_to_distil(bench: Any, by_label: Any) -> None:
    device = bench.device("b")
    job = bench.run(DSFL.device_round(device, Round(1), None), "dsfl")
    oracle = bench.plain(bench.start("dsfl").theta)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    np.testing.assert_allclose(job.result.value, oracle.probs(bench.proxy.x), rtol=0, atol=1e-6)


def test_the_servers_student_distils_the_soft_labels(bench: Any) -> None:
    server = Server(4, bench.proxy, True)
    job = bench.run(DSFL.fuse(server, Round(1, ASKED), soft_uploads()), "dsfl")
    oracle = bench.plain(bench.start("dsfl").theta)
    target = job.result.shared.value.astype(np.float64)
    oracle.learn(bench.proxy.x[ASKED], soft_loss(target), np.random.default_rng(3), 3)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)


def test_a_device_that_can_only_infer_labels_and_learns_nothing(bench: Any) -> None:
    device = bench.device("a", "infer")
    knowledge = Knowledge("probs", soft_uploads()["a"].value, {"indices": ASKED})
    job = bench.run(DSFL.device_round(device, Round(2, ASKED), knowledge), "dsfl")
    assert job.state is bench.start("dsfl")
    expected = bench.plain(job.state.theta).probs(bench.proxy.x[ASKED])
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)
