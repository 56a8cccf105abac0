import numpy as np
import pytest

from channel_sim.cellular import Harq, failures, mean_attempts, message_loss
from channel_sim.cellular import harq as module
from channel_sim.cellular.harq import Floats, Ints, Sent, send


def _rules(**changes: object) -> Harq:
    values = {
        "attempts": 4,
        "rounds": 2,
        "round_trip_ns": 8_000,
        "round_ns": 50_000,
        "combining": "chase",
    }
    return Harq(**{**values, **changes})  # type: ignore[arg-type]


def _send(
    counts: list[int],
    errors: list[float],
    rules: Harq,
    *,
    spacing_ns: int = 1000,
    seed: int = 0,
) -> Sent:
    table = np.array(errors)
    return send(
        np.array(counts),
        np.full(len(counts), spacing_ns),
        np.zeros(len(counts), dtype=np.int64),
        rules=rules,
        gain=None,
        error=lambda _rows, heard: table[heard.astype(int) - 1],
        rng=np.random.default_rng(seed),
    )


def _brute(blocks: int, errors: list[float], rounds: int, rng: np.random.Generator) -> list[float]:
    """One message, a loop over blocks, rounds and attempts: attempts, lost, last start."""
    total, last_start = 0, 0
    for block in range(blocks):
        for turn in range(rounds):
            for attempt, error in enumerate(errors):
                total += 1
                wait = turn * (len(errors) * 8_000 + 50_000) + attempt * 8_000
                last_start = max(last_start, block * 1000 + wait)
                if rng.random() >= error:
                    break
            else:
                continue
            break
        else:
            return [total, 1, last_start]
    return [total, 0, last_start]


def test_against_loops() -> None:
    errors, runs = [0.6, 0.5, 0.4, 0.7], 4000
    ours = _send([5] * runs, errors, _rules())
    rng = np.random.default_rng(1)
    theirs = np.array([_brute(5, errors, 2, rng) for _ in range(runs)])
    for column, other in zip((ours.attempts, ours.lost, ours.span_ns), theirs.T, strict=True):
        spread = np.hypot(column.std(), other.std()) / np.sqrt(runs)
        assert abs(column.mean() - other.mean()) < 4 * spread


def test_means_are_the_closed_forms() -> None:
    errors, runs = [0.5, 0.4, 0.3, 0.5], 40_000
    sent = _send([1] * runs, errors, _rules())
    failed = failures(np.array(errors))
    residual = 0.5 * 0.4 * 0.3 * 0.5
    assert failed.tolist() == pytest.approx([1, 0.5, 0.2, 0.06, 0.03])
    lost = residual**2
    assert message_loss(failed, 2, 1) == pytest.approx(lost)
    assert abs(sent.lost.mean() - lost) < 4 * np.sqrt(lost / runs)
    arrived = sent.attempts[~sent.lost]
    assert abs(arrived.mean() - mean_attempts(failed, 2)) < 4 * arrived.std() / np.sqrt(runs)


def test_without_combining_it_is_the_truncated_geometric() -> None:
    # p = 0.1, R = 4: 1.111 attempts, success 0.9999 (oracles.md 2.12).
    errors = np.full((4, 1), 0.1)
    failed = failures(errors)
    assert 1 - message_loss(failed, 1, 1) == pytest.approx(0.9999)
    attempts_of_all = failed[:-1].sum()
    assert attempts_of_all == pytest.approx(1.111)
    # Given success: the mean less the lost ones' four.
    assert mean_attempts(failed, 1) == pytest.approx((1.111 - 4 * 1e-4) / 0.9999)
    assert message_loss(failed, 1, 50) == pytest.approx(1 - 0.9999**50)


def test_certain_success_and_certain_loss() -> None:
    good = _send([1, 7], [0.0] * 4, _rules())
    assert good.attempts.tolist() == [1, 7]
    assert good.last_attempts.tolist() == [1, 1]
    assert good.span_ns.tolist() == [0, 6000]
    assert not good.lost.any()
    bad = _send([1, 7], [1.0] * 4, _rules(rounds=3))
    # The first block fails for good, the others are not sent.
    assert bad.attempts.tolist() == [12, 12]
    assert bad.last_attempts.tolist() == [12, 0]
    assert bad.span_ns.tolist() == [2 * (4 * 8_000 + 50_000) + 3 * 8_000] * 2
    assert bad.lost.all()


@pytest.mark.parametrize("combining", ["chase", "none"])
def test_gains_add_up_and_are_asked_for_at_their_time(combining: str) -> None:
    asked: list[tuple[int, int]] = []
    heard: list[float] = []

    def gain(rows: Ints, at_ns: Ints) -> Floats:
        asked.extend(zip(rows.tolist(), at_ns.tolist(), strict=True))
        return np.array([0.5 + time / 1e6 for time in at_ns.tolist()])

    def error(rows: Ints, gains: Floats) -> Floats:
        heard.extend(gains.tolist())
        return np.ones(len(rows))

    send(
        np.array([1]),
        np.array([1000]),
        np.array([300_000]),
        rules=_rules(attempts=3, combining=combining),
        gain=gain,
        error=error,
        rng=np.random.default_rng(0),
    )
    second = 300_000 + 3 * 8_000 + 50_000
    times = [300_000, 308_000, 316_000, second, second + 8_000, second + 16_000]
    assert asked == [(0, time) for time in times]
    gains = [0.5 + time / 1e6 for time in times]
    # A round of RLC starts with nothing heard.
    summed = [*np.cumsum(gains[:3]), *np.cumsum(gains[3:])]
    expected = summed if combining == "chase" else gains
    assert heard == pytest.approx(expected)


def test_slices_change_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 10)
    counts = [3, 25, 1, 1, 9, 2, 30]
    sent = _send(counts, [0.0] * 4, _rules())
    assert sent.attempts.tolist() == counts
    errors = [0.6, 0.5, 0.4, 0.7]
    sliced = _send([4] * 3000, errors, _rules())
    monkeypatch.setattr(module, "SLICE", 1 << 21)
    whole = _send([4] * 3000, errors, _rules(), seed=9)
    for name in ("attempts", "span_ns", "lost"):
        ours, other = getattr(sliced, name), getattr(whole, name)
        spread = np.hypot(ours.std(), other.std()) / np.sqrt(3000)
        assert abs(ours.mean() - other.mean()) < 4 * spread


def test_nothing_to_send() -> None:
    assert len(_send([], [0.0] * 4, _rules()).attempts) == 0


@pytest.mark.parametrize("key", ["attempts", "rounds"])
def test_bad_limits(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        _rules(**{key: 0})
