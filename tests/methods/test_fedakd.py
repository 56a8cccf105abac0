"""FedAKD against Gad & Fadlullah 2023 (Sensors 23(1):6) and the authors' notebooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from devices.preprocess import Preprocess
from edge_fd import methods
from edge_fd.desk import Job
from edge_fd.errors import UsageError
from edge_fd.knowledge import Knowledge, smallest_unsigned
from edge_fd.methods import Round, Server
from edge_fd.methods.fedakd import mixed
from edge_fd.requests import Samples, Train
from edge_fd.scenario import Scenario
from edge_fd.simulation import simulate
from edge_fd.streams import stream

torch = pytest.importorskip("torch", reason="the oracle is torch, of the extra 'server'")

FEDAKD = methods.create("fedakd", {"digest_epochs": 2, "local_epochs": 1})
NO_RNG = np.random.default_rng(0)
ASKED = np.array([0, 2, 5, 7], np.uint8)
SEED = 17


def authors_mix(x: Any, number: int, m: float = 1.0) -> Any:
    """``FedAMDNode.get_carrier_scores``: alpha * x + (1 - alpha) * x[index], in float64.

    The draws are those of the round's shared stream instead of NumPy's global one.
    """
    rng = stream(SEED, "round", number, "mix")
    index = rng.permutation(len(x))
    alpha = rng.beta(m, m)
    wide = np.asarray(x, np.float64)
    return alpha * wide + (1 - alpha) * wide[index]


def consensus(number: int = 1) -> Knowledge:
    value = np.random.default_rng(2).standard_normal((4, 4)).astype(np.float32)
    exact = {"indices": ASKED, "mixed": smallest_unsigned([number])}
    return Knowledge("logits", value, exact)


def test_a_round_digests_the_consensus_on_the_samples_that_it_is_of(
    bench: Any, by_label: Any
) -> None:
    device, knowledge = bench.device("a"), consensus(1)
    facts = Round(3, np.array([1, 3, 8], np.uint8), SEED)
    job = bench.run(FEDAKD.device_round(device, facts, knowledge), "fedakd")
    rng, oracle = np.random.default_rng(3), bench.plain(bench.start("fedakd").theta)
    wide, absolute = torch.tensor(knowledge.value, dtype=torch.float64), torch.nn.L1Loss()
    seen = authors_mix(bench.proxy.x[ASKED], 1)
    oracle.learn(seen, lambda z, index: absolute(z, wide[index]), rng, 2)
    oracle.learn(device.private.x, by_label(device.private), rng, 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    asked = authors_mix(bench.proxy.x[[1, 3, 8]], 3)
    expected = oracle.logits(asked).detach().numpy()
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)
    # Accuracy is measured on public samples, with their labels, as they are.
    right = oracle.probs(bench.proxy.x[[1, 3, 8]]).argmax(-1) == bench.proxy.y[[1, 3, 8]]
    np.testing.assert_array_equal(job.result.exact["hits"], [right.sum()])


def test_the_first_round_trains_and_publishes(bench: Any, by_label: Any) -> None:
    device = bench.device("b")
    job = bench.run(FEDAKD.device_round(device, Round(1, ASKED, SEED), None), "fedakd")
    oracle = bench.plain(bench.start("fedakd").theta)
    oracle.learn(device.private.x, by_label(device.private), np.random.default_rng(3), 1)
    np.testing.assert_allclose(job.state.theta, oracle.theta, rtol=0, atol=1e-6)
    expected = oracle.logits(authors_mix(bench.proxy.x[ASKED], 1)).detach().numpy()
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)
    assert not device.memory  # so that a round may run again, as in ALU


def test_a_device_that_can_only_infer_publishes_logits_and_hits(bench: Any) -> None:
    device = bench.device("a", "infer")
    job = bench.run(FEDAKD.device_round(device, Round(2, None, SEED), consensus()), "fedakd")
    assert job.state is bench.start("fedakd")
    oracle = bench.plain(job.state.theta)
    expected = oracle.logits(authors_mix(bench.proxy.x, 2)).detach().numpy()
    np.testing.assert_allclose(job.result.value, expected, rtol=0, atol=1e-6)
    hits = (oracle.probs(bench.proxy.x).argmax(-1) == bench.proxy.y).sum()
    np.testing.assert_array_equal(job.result.exact["hits"], [hits])


def test_hits_are_counted_on_public_samples_that_are_not_mixed(bench: Any) -> None:
    x = np.random.default_rng(4).standard_normal((60, 3)).astype(np.float32)
    oracle = bench.plain(bench.start("fedakd").theta)
    own = oracle.probs(x).argmax(-1)
    assert (oracle.probs(authors_mix(x, 2)).argmax(-1) != own).sum() > 5  # so that it matters
    for y, hits in ((own, 60), ((own + 1) % 4, 0)):
        device = replace(bench.device("a", "infer"), proxy=Samples(x, y))
        job = bench.run(FEDAKD.device_round(device, Round(2, None, SEED), None), "fedakd")
        np.testing.assert_array_equal(job.result.exact["hits"], [hits])


def public(bench: Any, name: str, number: int, seed: int) -> Any:
    return FEDAKD.public(bench.device(name), Round(number, None, seed)).x


def test_all_devices_mix_alike_and_no_two_rounds_or_runs_do(bench: Any) -> None:
    first = public(bench, "a", 1, SEED)
    np.testing.assert_array_equal(public(bench, "b", 1, SEED), first)
    assert np.abs(public(bench, "a", 2, SEED) - first).max() > 0.1
    assert np.abs(public(bench, "a", 1, SEED + 1) - first).max() > 0.1


def test_what_was_fused_in_a_round_is_digested_on_what_it_was_asked_about(bench: Any) -> None:
    device, facts = bench.device("a", "infer"), Round(4, None, SEED)
    upload = bench.run(FEDAKD.device_round(device, facts, None), "fedakd").result
    fused = fuse({"a": upload}, facts)
    half = FEDAKD.device_round(bench.device("b"), Round(6, None, SEED), fused)
    digest = next(half)
    assert isinstance(digest, Train)
    np.testing.assert_array_equal(digest.samples.x, FEDAKD.public(device, facts).x)


@pytest.mark.parametrize("m", [0.2, 1.0, 4.0])
def test_the_share_is_drawn_from_a_beta_distribution(m: float) -> None:
    x = np.eye(6)
    shares = []
    for number in range(400):
        diagonal = np.diag(mixed(Samples(x), stream(3, "round", number, "mix"), m).x)
        shares += [float(diagonal.min())] if diagonal.min() < 1 else []
    assert mixed(Samples(x), np.random.default_rng(0), m).x.dtype == np.float32
    assert stats.kstest(shares, stats.beta(m, m).cdf).pvalue > 0.01


@settings(deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(0.01, 2), offset=st.floats(-2, 2))
def test_bytes_are_mixed_as_numbers_and_scaling_commutes(
    seed: int, scale: float, offset: float
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (5, 1, 3, 4), np.uint8)
    prepare = Preprocess(scale, offset, (1, 6, 8)).apply

    def rng() -> Any:
        return np.random.default_rng(seed)

    before = mixed(Samples(prepare(image)), rng(), 1.0)
    after = prepare(mixed(Samples(image), rng(), 1.0).x)
    np.testing.assert_allclose(after, before.x, rtol=1e-5, atol=1e-4)


def upload_of(value: Any, hits: int) -> Knowledge:
    return Knowledge("logits", np.asarray(value, np.float32), {"hits": smallest_unsigned([hits])})


def fuse(uploads: dict[str, Knowledge], facts: Round, **given: Any) -> Knowledge:
    half = methods.create("fedakd", given).fuse(Server(2, None, False), facts, uploads)
    job = Job(half, None, None, NO_RNG)
    assert job.result is not None
    assert job.result.shared is not None
    return job.result.shared


@settings(deadline=None)
@given(hits=st.lists(st.integers(0, 5), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_consensus_is_weighted_by_accuracy(hits: list[int], seed: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((len(hits), 5, 2)).astype(np.float32)
    uploads = {f"d{i}": upload_of(z, n) for i, (z, n) in enumerate(zip(logits, hits, strict=True))}
    fused = fuse(uploads, Round(7, ASKED))
    accuracy = np.array(hits) / 5
    # aggregate_training_metadatas of the notebooks; where all weights are zero it would raise.
    expected = np.average(
        logits.astype(np.float64), axis=0, weights=accuracy if accuracy.any() else None
    )
    np.testing.assert_allclose(fused.value, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(fused.indices, ASKED)
    np.testing.assert_array_equal(fused.exact["mixed"], [7])


def test_unmixed_and_uniform_it_is_fedmd(bench: Any) -> None:
    plain = {"transfer_epochs": 2, "digest_epochs": 2, "local_epochs": 1}
    fedmd = methods.create("fedmd", plain)
    fedakd = methods.create("fedakd", {**plain, "mix": 0, "weights": "uniform"})
    knowledge, fused = Knowledge("logits", consensus().value, {"indices": ASKED}), []
    for method in (fedmd, fedakd):
        facts, uploads, states = Round(2, ASKED, SEED), {}, []
        for name in ("a", "b"):
            half = method.device_round(bench.device(name), facts, knowledge)
            job = bench.run(half, "fedakd")
            uploads[name] = job.result
            states.append(job.state.theta)
        server = Job(method.fuse(Server(4, None, False), facts, uploads), None, None, NO_RNG)
        assert server.result is not None
        fused.append((server.result.sha256, np.stack(states).tobytes()))
        assert all(upload.exact == {} for upload in uploads.values())
    assert fused[0] == fused[1]


def test_the_defaults_are_those_of_the_notebooks() -> None:
    # HARS_FedAKD.ipynb: train_on_target(epochs=2), train_on_public(epochs=1), no other phase;
    # alpha = np.random.rand(), which is Beta(1, 1); weighted_averaging = True.
    expected = {"transfer_epochs": 0, "digest_epochs": 1, "local_epochs": 2}
    given = methods.create("fedakd").settings()
    assert given == {**expected, "mix": 1.0, "weights": "accuracy"}


def test_what_needs_the_labels_of_the_public_set() -> None:
    assert methods.create("fedakd").needs_proxy_labels
    assert not methods.create("fedakd", {"weights": "uniform"}).needs_proxy_labels
    transfer = {"weights": "uniform", "transfer_epochs": 1}
    assert methods.create("fedakd", transfer).needs_proxy_labels


def test_uniform_weights_work_without_labels(bench: Any) -> None:
    bare = replace(bench.device("a"), proxy=Samples(bench.proxy.x))
    uniform = methods.create("fedakd", {"weights": "uniform"})
    job = bench.run(uniform.device_round(bare, Round(1, ASKED, SEED), None), "fedakd")
    assert job.result.value.shape == (4, 4)
    assert job.result.exact == {}
    with pytest.raises(UsageError, match="no labels"):
        bench.run(FEDAKD.device_round(bare, Round(1, ASKED, SEED), None), "fedakd")


@pytest.mark.parametrize(
    ("exact", "why"),
    [({}, "found none"), ({"hits": [6]}, "found .6."), ({"hits": [-1]}, "found .-1."),
     ({"hits": [1, 2]}, "0 to 5, found .1, 2.")],
)  # fmt: skip
def test_an_upload_whose_hits_cannot_be_is_refused(exact: Any, why: str) -> None:
    arrays = {key: np.array(value) for key, value in exact.items()}
    bad, good = Knowledge("logits", np.zeros((5, 2), np.float32), arrays), upload_of([[0, 0]], 1)
    said = FEDAKD.objection(bad, device="a", classes=2, memory={})
    assert said
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(said)
    assert FEDAKD.objection(good, device="a", classes=2, memory={}) == ""
    uniform = methods.create("fedakd", {"weights": "uniform"})
    assert uniform.objection(bad, device="a", classes=2, memory={}) == ""


def test_a_consensus_says_what_it_is_about_where_that_changes() -> None:
    uploads = {name: upload_of([[1, 2]], 1) for name in ("a", "b")}
    np.testing.assert_array_equal(fuse(uploads, Round(5)).exact["mixed"], [5])
    assert "mixed" not in fuse(uploads, Round(5), mix=0.0).exact


def scenario(method: str, **given: Any) -> Scenario:
    """Four devices with few labels each, 300 public samples."""
    tree: dict[str, Any] = {
        "name": "few-labels",
        "seed": 3,
        "data": {"name": "digits", "proxy": 300, "test": 200},
        "split": {"kind": "dirichlet", "alpha": 0.3, "max_per_device": 60},
        "training": {"batch": 10, "lr": 0.1},
        "rounds": {"count": 10, "evaluate_every": 10},
        "method": {"name": method, method: {"local_epochs": 2, **given}},
        "devices": [{"count": 4, "student": "mlp"}],
        "channel": {"model": "ideal"},
    }
    return Scenario.parse(tree)


def test_devices_learn_from_the_consensus_on_mixed_samples(tmp_path: Path) -> None:
    # No public label is learned here. Alone devices come to 0.55 of the test part, so to 0.70.
    alone = simulate(scenario("local"), tmp_path / "local").summary
    shared = simulate(scenario("fedakd", digest_epochs=5), tmp_path / "fedakd").summary
    assert alone is not None
    assert alone.accuracy_test is not None
    assert shared is not None
    assert shared.accuracy_test is not None
    assert shared.accuracy_test > alone.accuracy_test + 0.1
