"""Lock step against the calendar and against formulas."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import ks_2samp

from channel_sim.lora import EIGHT_CHANNELS_HZ, Lorawan
from channel_sim.medium import REASONS
from channel_sim.outcomes import Outcomes

Ints = npt.NDArray[np.int64]


class TableBlocks:
    """Rayleigh gains from a table, repeated."""

    coherence_ns = 5_000_000_000

    def __init__(self, seed: int) -> None:
        self._table = np.random.default_rng(seed).exponential(size=(97, 89))

    def gain(self, link: int, block: int) -> float:
        return float(self._table[link % 97, block % 89])

    def gains(self, links: Ints, blocks: Ints) -> npt.NDArray[np.float64]:
        return np.asarray(self._table[links % 97, blocks % 89])


def draw(cells: int, nodes: int, *, seed: int, window_s: float) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    losses_db = rng.uniform(100, 158, (cells, nodes))
    ready_ns = rng.integers(0, int(window_s * 1e9), (cells, nodes))
    return losses_db, ready_ns


def run_calendar(
    family: Lorawan,
    losses_db: Any,
    sizes: Any,
    ready_ns: Any,
    *,
    seed: int = 0,
    rng: Any = None,
    blocks: Any = None,
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {key: [] for key in ("reason", "finish", "joules", "attempts")}
    for cell in range(len(losses_db)):
        names = [f"d{node:03}" for node in range(losses_db.shape[1])]
        own = rng or np.random.default_rng([seed, cell])
        medium = family.medium(
            dict(zip(names, losses_db[cell], strict=True)), rng=own, blocks=blocks
        )
        done = medium.offer(names, sizes[cell].tolist(), (ready_ns[cell] / 1e9).tolist())
        found["reason"] += [d.reason for d in done]
        found["finish"] += [d.finish_s for d in done]
        found["joules"] += [d.energy_j for d in done]
        found["attempts"] += [d.attempts for d in done]
    return found


def run_burst(
    family: Lorawan,
    losses_db: Any,
    sizes: Any,
    ready_ns: Any,
    *,
    seed: int = 0,
    rng: Any = None,
    blocks: Any = None,
) -> Outcomes:
    cells, nodes = losses_db.shape
    return family.burst(
        losses_db.ravel(),
        sizes.ravel(),
        ready_ns.ravel(),
        cells=np.repeat(np.arange(cells), nodes),
        rng=rng or np.random.default_rng(seed),
        blocks=blocks,
    )


class Still:
    """Draws nothing: the first open channel, the shortest wait, the same in both engines."""

    def random(self, size: int | None = None) -> Any:
        return 0.0 if size is None else np.zeros(size)


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("interference", ["capture_6db", "goursaud"])
@pytest.mark.parametrize("channels_hz", [(868_100_000,), (868_100_000, 869_525_000)])
def test_without_chance_both_engines_agree_message_by_message(
    confirmed: bool,  # noqa: FBT001
    interference: str,
    channels_hz: tuple[int, ...],
) -> None:
    family = Lorawan(
        confirmed=confirmed, channels_hz=channels_hz, interference=interference, demodulators=3
    )
    losses_db, ready_ns = draw(5, 40, seed=3, window_s=40.0)
    sizes = np.random.default_rng(4).integers(1, 400, losses_db.shape)
    calendar = run_calendar(family, losses_db, sizes, ready_ns, rng=Still())
    burst = run_burst(family, losses_db, sizes, ready_ns, rng=Still())
    reasons = [REASONS[code] for code in burst.reason]
    assert calendar["reason"] == reasons
    assert calendar["finish"] == pytest.approx(burst.finish_ns / 1e9, abs=1e-9)
    assert calendar["joules"] == pytest.approx(burst.energy_j(family.radio), rel=1e-9)
    assert calendar["attempts"] == burst.attempts.tolist()
    expected = {"retry_limit"} if confirmed else {"collision", "queue"}
    assert set(reasons) == {"delivered", "below_sensitivity"} | expected


@pytest.mark.parametrize("seed", range(3))
def test_three_sub_bands_let_devices_send_as_soon_as_they_are_acknowledged(seed: int) -> None:
    # Starts follow acknowledgements within a step of the lock step.
    family = Lorawan(
        confirmed=True,
        channels_hz=(868_100_000, 869_525_000, 867_100_000),
        interference="aloha",
        demodulators=2,
    )
    losses_db, ready_ns = draw(6, 12, seed=seed, window_s=6.0)
    losses_db = losses_db.clip(max=120.0)
    sizes = np.random.default_rng(seed).integers(200, 700, losses_db.shape)
    calendar = run_calendar(family, losses_db, sizes, ready_ns, rng=Still())
    burst = run_burst(family, losses_db, sizes, ready_ns, rng=Still())
    assert calendar["finish"] == pytest.approx(burst.finish_ns / 1e9, abs=1e-9)
    assert calendar["attempts"] == burst.attempts.tolist()


CASES: list[tuple[dict[str, Any], float, bool]] = [
    ({}, 20.0, False),
    ({"channels_hz": EIGHT_CHANNELS_HZ}, 5.0, False),
    ({"confirmed": True}, 60.0, False),
    ({"confirmed": True, "channels_hz": EIGHT_CHANNELS_HZ}, 20.0, False),
    ({"confirmed": True, "error_model": "elshabrawy", "fade_margin_db": 0.0}, 60.0, True),
    ({"error_model": "elshabrawy", "station_sensitivity": "snr_floor"}, 30.0, True),
]


@pytest.mark.parametrize(("parameters", "window_s", "faded"), CASES)
def test_both_engines_obey_the_same_law(
    parameters: dict[str, Any],
    window_s: float,
    faded: bool,  # noqa: FBT001
) -> None:
    family = Lorawan(**parameters)
    blocks = TableBlocks(1) if faded else None
    cells, nodes = 20, 40
    losses_db, ready_ns = draw(cells, nodes, seed=5, window_s=window_s)
    sizes = np.full((cells, nodes), 120)
    calendar = run_calendar(family, losses_db, sizes, ready_ns, seed=6, blocks=blocks)
    losses_db, ready_ns = draw(cells, nodes, seed=8, window_s=window_s)
    burst = run_burst(family, losses_db, sizes, ready_ns, seed=9, blocks=blocks)
    assert ks_2samp(calendar["finish"], burst.finish_ns / 1e9).pvalue > 0.01
    counts = Counter(calendar["reason"])
    for reason, number in burst.counts().items():
        ours = np.reshape([found == reason for found in calendar["reason"]], (cells, nodes))
        theirs = np.reshape(burst.reason == REASONS.index(reason), (cells, nodes))
        spread = np.hypot(ours.mean(1).std(ddof=1), theirs.mean(1).std(ddof=1)) / np.sqrt(cells)
        assert abs(counts[reason] - number) / (cells * nodes) <= 3.5 * spread + 1e-9, reason
    for ours, theirs in (
        (calendar["joules"], burst.energy_j(family.radio)),
        (calendar["attempts"], burst.attempts),
    ):
        difference = np.mean(ours) - np.mean(theirs)
        assert abs(difference) < 4 * np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(cells * nodes)


def test_cells_do_not_hear_one_another() -> None:
    family = Lorawan(channels_hz=(868_100_000,), spreading_factor=7)
    ready_ns = np.zeros((2, 1), dtype=np.int64)
    losses_db = np.full((2, 1), 100.0)
    sizes = np.full((2, 1), 20)
    assert run_burst(family, losses_db, sizes, ready_ns, seed=0).delivered.all()
    together = run_burst(family, losses_db.T, sizes.T, ready_ns.T, seed=0)
    assert together.counts()["collision"] == 2


@pytest.mark.parametrize("confirmed", [False, True])
def test_offered_is_delivered_plus_lost_by_reason(confirmed: bool) -> None:  # noqa: FBT001
    family = Lorawan(confirmed=confirmed)
    losses_db, ready_ns = draw(8, 30, seed=11, window_s=10.0)
    sizes = np.full(losses_db.shape, 60)
    burst = run_burst(family, losses_db, sizes, ready_ns, seed=12)
    assert sum(burst.counts().values()) == losses_db.size == len(burst)
    assert np.all(burst.finish_ns >= burst.start_ns)
    assert np.all(burst.start_ns >= burst.ready_ns)
    assert np.all(burst.energy_j(family.radio) > 0)
    assert np.array_equal(burst.tx_ns, burst.air_ns)


@pytest.mark.parametrize("confirmed", [False, True])
def test_no_devices(confirmed: bool) -> None:  # noqa: FBT001
    empty = np.zeros((0, 0))
    assert len(run_burst(Lorawan(confirmed=confirmed), empty, empty, empty, seed=0)) == 0


def test_too_large_a_message_is_refused_in_every_engine() -> None:
    family = Lorawan()
    losses_db, ready_ns = draw(1, 3, seed=1, window_s=1.0)
    losses_db[0, 1] = 150.0
    with pytest.raises(ValueError, match=r"SF12 .* bytes would fit"):
        run_burst(family, losses_db, np.full((1, 3), 40_000), ready_ns, seed=0)
    with pytest.raises(ValueError, match=r"SF12 .* bytes would fit"):
        family.plan(150.0, 40_000)
    with pytest.raises(ValueError, match="sizes_bytes"):
        run_burst(family, losses_db, np.zeros((1, 3), dtype=np.int64), ready_ns, seed=0)
    with pytest.raises(ValueError, match="ready_ns"):
        run_burst(family, losses_db, np.full((1, 3), 40), ready_ns - 10**10, seed=0)
    with pytest.raises(ValueError, match="losses_db"):
        run_burst(family, losses_db * np.nan, np.full((1, 3), 40), ready_ns, seed=0)


# The plan.


@pytest.mark.parametrize("size", [20, 300])
@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("channels_hz", [(868_100_000,), EIGHT_CHANNELS_HZ])
def test_the_plan_of_a_good_link_is_what_happens(
    size: int,
    confirmed: bool,  # noqa: FBT001
    channels_hz: tuple[int, ...],
) -> None:
    family = Lorawan(confirmed=confirmed, channels_hz=channels_hz)
    losses_db = np.array([100.0, 130.0, 135.0, 140.0])
    plan = family.plan(losses_db, size)
    for place, loss_db in enumerate(losses_db):
        medium = family.medium({"a": float(loss_db)}, rng=np.random.default_rng(0))
        (one,) = medium.offer(["a"], [size], [0.0])
        assert one.delivered == (plan.message_loss[place] == 0)
        if not one.delivered or one.attempts != one.packets:
            continue  # the gateway's own duty cycle sends replies into RX2
        assert plan.packets[place] == one.packets
        assert plan.air_s[place] == pytest.approx(one.air_s)
        assert plan.latency_s[place] == pytest.approx(one.finish_s, rel=0.02)
        if not confirmed:
            assert plan.energy_j[place] == pytest.approx(one.energy_j)


def test_the_plan_counts_losses_by_rayleigh_fading() -> None:
    # Outage 1 - exp(-floor / mean): 10 dB above the floor, 0.09516 (oracles.md 3.1).
    family = Lorawan(spreading_factor=7)
    plan = family.plan(134.0, 20, fading="rayleigh")  # -120 dBm; SX1301 hears -130 at SF7
    assert float(plan.packet_error) == pytest.approx(0.09516, abs=1e-5)
    assert float(plan.message_loss) == pytest.approx(0.09516, abs=1e-5)
    two = family.plan(134.0, 300, fading="rayleigh")
    assert float(two.message_loss) == pytest.approx(1 - np.exp(-0.2), abs=1e-5)
    sure = Lorawan(spreading_factor=7, confirmed=True).plan(134.0, 20, fading="rayleigh")
    assert float(sure.message_loss) == pytest.approx(0.09516**8, rel=1e-3)
    out = family.plan(180.0, 20)
    assert (float(out.message_loss), float(out.latency_s), float(out.rate_bps)) == (1, np.inf, 0)
    with pytest.raises(ValueError, match="fading"):
        family.plan(100.0, 20, fading="rician")
    with pytest.raises(ValueError, match="size_bytes"):
        family.plan(100.0, 0)


@pytest.mark.parametrize("error_model", ["threshold", "elshabrawy"])
def test_the_plan_under_fading_is_the_mean_of_many_cells(error_model: Any) -> None:
    # One device per cell, so that nobody collides; 1200 links.
    family = Lorawan(spreading_factor=8, error_model=error_model, station_sensitivity="snr_floor")
    losses_db = np.full((1200, 1), 134.0)
    ready_ns = np.random.default_rng(3).integers(0, 10**12, losses_db.shape)
    sizes = np.full(losses_db.shape, 20)
    burst = run_burst(family, losses_db, sizes, ready_ns, seed=4, blocks=TableBlocks(2))
    share = float(family.plan(134.0, 20, fading="rayleigh").message_loss)
    assert 0.05 < share < 0.95
    assert abs(1 - burst.delivered.mean() - share) < 4 * np.sqrt(share * (1 - share) / 1200)


def test_adaptive_data_rate_chooses_by_loss() -> None:
    family = Lorawan()
    losses_db = np.linspace(90, 170, 161)
    factors = family.assign_spreading_factors(losses_db)
    assert np.all(np.diff(factors) >= 0)
    assert set(factors.tolist()) == set(range(7, 13))
    # Noise -117.03 dBm; SF7 needs -7.5 dB and 10 dB of margin, and ADR a 3 dB step to get there.
    edge_db = losses_db[factors == 7].max()
    assert 14 - edge_db + 117.03 - (-7.5 + 10) == pytest.approx(2, abs=1.5)
    assert np.all(Lorawan(spreading_factor=9).assign_spreading_factors(losses_db) == 9)
