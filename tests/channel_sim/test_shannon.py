from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, nbinom

from channel_sim import Delivery, Fingerprint, load_preset
from channel_sim.medium import REASONS
from channel_sim.outcomes import Outcomes
from channel_sim.shannon import Shannon, over_the_air_mean

CHEN = load_preset("chen2021").family
MIX2FLD = load_preset("mix2fld").family
# 39 760 weights of 16 bit: FLMIN.m.
CHEN_BYTES = 39_760 * 2
SLOTTED = Shannon(
    error_model="slotted", threshold_db=3.0, bandwidth_hz=1e5, max_attempts=30, tx_power_dbm=0.0
)


def loss_for(family: Shannon, snr_db: float) -> float:
    """The loss that leaves a mean SNR up, without interference."""
    noise_dbm = family.noise_dbm_hz + 10 * math.log10(family.bandwidth_hz)
    return family.tx_power_dbm - noise_dbm - snr_db


def send(
    family: Shannon, losses_db: object, size: int, *, seed: int = 1, blocks: object = None
) -> Outcomes:
    losses_db = np.asarray(losses_db, dtype=np.float64)
    n = len(losses_db)
    return family.burst(
        losses_db,
        np.full(n, size),
        np.zeros(n, dtype=np.int64),
        cells=np.arange(n),
        rng=np.random.default_rng(seed),
        blocks=blocks,  # type: ignore[arg-type]
    )


@dataclass
class Drawn:
    """Rayleigh gains drawn independently for every link and block."""

    coherence_ns: int
    seed: int = 0

    def gain(self, link: int, block: int) -> float:
        return float(np.random.default_rng((self.seed, link, block)).exponential())

    def gains(self, links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        pairs = zip(links.tolist(), blocks.tolist(), strict=True)
        return np.array([self.gain(*pair) for pair in pairs])


@dataclass
class Constant:
    """One gain for all."""

    value: float
    coherence_ns: int = 10**9

    def gain(self, link: int, block: int) -> float:
        return self.value + 0 * link * block

    def gains(self, links: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        return np.full(np.broadcast(links, blocks).shape, self.value)


# Chen et al. 2021, from the formulas of the author's FLMIN.m.


def chen(distance_m: float, interference_w: float) -> tuple[float, float, float]:
    """Error rate, seconds up, seconds down."""
    noisy_w = interference_w + 1e-14
    q = 1 - math.exp(-1.08 * noisy_w / 0.01 / distance_m**-2)
    up_s = 8 * CHEN_BYTES / (1e6 * math.log2(1 + 0.01 * distance_m**-2 / noisy_w))
    down_sinr = distance_m**-2 / (1.8e-7 + 20e6 * 1e-20)
    return q, up_s, 8 * CHEN_BYTES / (20e6 * math.log2(1 + down_sinr))


@pytest.mark.parametrize("distance_m", [20.0, 150.0, 499.0])
def test_chen_in_all_blocks_is_the_papers_formula(distance_m: float) -> None:
    loss_db = 20 * math.log10(distance_m)
    medium = CHEN.medium({f"d{i}": loss_db for i in range(7)}, rng=np.random.default_rng(3))
    devices = [f"d{i}" for i in range(7)]
    up = medium.offer(devices, [CHEN_BYTES] * 7, [0.0] * 7)
    # The seventh device is in the first block again.
    for index, interference_w in enumerate([1e-8, 3e-8, 5e-8, 7e-8, 9e-8, 1.1e-7, 1e-8]):
        q, up_s, _ = chen(distance_m, interference_w)
        assert up[index].air_s == pytest.approx(up_s, rel=1e-6)
        assert up[index].energy_j == pytest.approx(0.01 * up_s, rel=1e-6)
        law = CHEN.law(loss_db, CHEN_BYTES, interference_w=interference_w)
        assert float(law.fail) == pytest.approx(q, rel=1e-6)
    down = CHEN.medium({"d0": loss_db}, rng=np.random.default_rng(3)).offer(
        ["d0"], [CHEN_BYTES], [0.0], direction="down"
    )
    assert down[0].finish_s == pytest.approx(chen(distance_m, 1e-8)[2], rel=1e-6)
    assert down[0].energy_j == 0


def test_chen_in_lock_step_gives_each_block_its_error_and_time() -> None:
    # The seventh device of a cell is in the first block again.
    cells, blocks_w = 4000, [1e-8, 3e-8, 5e-8, 7e-8, 9e-8, 1.1e-7, 1e-8]
    outcomes = CHEN.burst(
        np.full(7 * cells, 20 * math.log10(250)),
        np.full(7 * cells, CHEN_BYTES),
        np.zeros(7 * cells, dtype=np.int64),
        # Cells interleaved: the place in the cell counts, not the row.
        cells=np.tile(np.arange(cells), 7),
        rng=np.random.default_rng(2),
    )
    for index, interference_w in enumerate(blocks_w):
        q, up_s, _ = chen(250, interference_w)
        rows = slice(index * cells, (index + 1) * cells)
        lost = 1 - outcomes.delivered[rows].mean()
        assert lost == pytest.approx(q, abs=4.5 * math.sqrt(q * (1 - q) / cells))
        assert outcomes.latency_s[rows] == pytest.approx(up_s, rel=1e-6)


def test_the_negative_interference_of_the_authors_list_is_refused() -> None:
    nine = [(x - 0.04) * 1e-6 for x in (0.03, 0.06, 0.07, 0.08, 0.1, 0.11, 0.12, 0.14, 0.15)]
    with pytest.raises(ValueError, match=r"interference_w = \[-1\.0+\d?e-08 \.\.\. .* is negative"):
        replace(CHEN, interference_w=tuple(nine))
    with pytest.raises(ValueError, match=r"station_interference_w = -1e-08 is negative"):
        replace(CHEN, station_interference_w=-1e-8)


def test_the_noise_is_that_of_the_band_of_each_direction() -> None:
    # N0 -170 dBm/Hz over 1 MHz up, 20 MHz down; 10 and 30 dBm less 50 dB.
    assert CHEN.snr_db(50.0) == pytest.approx(10 - 50 + 110)
    assert CHEN.snr_db(50.0, up=False) == pytest.approx(30 - 50 + 170 - 73.0103)


# Outage.


@pytest.mark.parametrize(
    ("threshold_db", "outage"),
    # oracles.md 3.1, mean SNR 10 dB.
    [(0.0, 0.09516), (3.0, 0.18088), (5.0, 0.27111), (10.0, 0.63212)],
)
def test_rayleigh_outage_is_that_of_the_table(threshold_db: float, outage: float) -> None:
    family = Shannon(threshold_db=threshold_db, max_attempts=3)
    plan = family.plan(loss_for(family, 10.0), 1000, fading="rayleigh")
    assert plan.packet_error == pytest.approx(outage, abs=1e-5)
    assert plan.message_loss == pytest.approx(outage**3, abs=1e-5)
    # Shannon at the threshold: 8000 bit at 1 MHz log2(1 + theta).
    assert plan.rate_bps == pytest.approx(1e6 * math.log2(1 + 10 ** (threshold_db / 10)))


def test_outage_through_given_blocks_is_the_closed_form() -> None:
    family = Shannon(threshold_db=3.0, max_attempts=1)
    n = 6000
    outcomes = send(family, np.full(n, loss_for(family, 10.0)), 1000, blocks=Drawn(1000))
    lost = 1 - outcomes.delivered.mean()
    assert lost == pytest.approx(0.18088, abs=4.5 * math.sqrt(0.18 * 0.82 / n))


def test_a_known_gain_decides_at_the_threshold() -> None:
    family = Shannon(threshold_db=3.0)
    loss_db = [loss_for(family, 6.0)]
    for value, reason, attempts in (
        (10**-0.2999, "delivered", 1),
        (10**-0.3001, "retry_limit", 4),
    ):
        blocks = Constant(value)
        burst = send(family, loss_db, 100, blocks=blocks)
        assert REASONS[burst.reason[0]] == reason
        assert burst.attempts[0] == attempts
        medium = family.medium({"a": loss_db[0]}, rng=np.random.default_rng(0), blocks=blocks)
        (delivery,) = medium.offer(["a"], [100], [0.0])
        assert (delivery.reason, delivery.attempts) == (reason, attempts)


def test_the_margin_sets_the_rate_and_the_cap_ends_it() -> None:
    family = Shannon(fade_margin_db=10.0, shannon_cap_bps_hz=4.4, shannon_alpha=0.6)
    plan = family.plan([loss_for(family, 20.0), loss_for(family, 90.0)], 1000)
    # 0.6 log2(1 + 10), and the cap with its 22.05 dB (oracles.md 2.10).
    assert plan.rate_bps == pytest.approx([0.6e6 * math.log2(11), 4.4e6])
    assert plan.packet_error == pytest.approx([1 - math.exp(-0.1), 160.27e-9], rel=1e-3)


def test_below_the_floor_nothing_is_sent() -> None:
    family = Shannon(shannon_floor_db=-10.0, fade_margin_db=0.0)
    losses_db = [loss_for(family, -9.99), loss_for(family, -10.01)]
    plan = family.plan(losses_db, 100)
    assert plan.message_loss[1] == 1
    assert plan.energy_j[1] == 0
    assert plan.latency_s[1] == math.inf
    assert 0 < plan.message_loss[0] < 1
    burst = send(family, losses_db, 100)
    medium = family.medium(dict(zip("ab", losses_db, strict=True)), rng=np.random.default_rng(0))
    near, far = medium.offer(["a", "b"], [100, 100], [1.0, 1.0])
    assert REASONS[burst.reason[1]] == far.reason == "below_sensitivity"
    assert burst.tx_ns[1] == 0
    assert (far.start_s, far.finish_s, far.attempts) == (1.0, 1.0, 0)
    assert near.attempts > 0


# Slots.


def test_slots_are_those_of_a_count_slot_by_slot() -> None:
    # 100 kHz log2(1 + 2) = 158 bit a slot: 200 bytes need 11 good slots.
    snr_db, size = 4.0, 200
    loss_db = loss_for(SLOTTED, snr_db)
    runs, rng = 20_000, np.random.default_rng(11)
    snr = 10**0.4 * rng.exponential(size=(runs, 30))
    carried = np.cumsum((snr >= 10**0.3) * 100 * math.log2(1 + 10**0.3), axis=1)
    enough = carried >= 8 * size
    done = enough.any(axis=1)
    slots = np.where(done, enough.argmax(axis=1) + 1, 30)
    plan = SLOTTED.plan(loss_db, size)
    burst = send(SLOTTED, np.full(runs, loss_db), size)
    margin = 4.5 * math.sqrt(0.25 / runs)
    assert 0.02 < plan.message_loss < 0.98
    assert plan.message_loss == pytest.approx(1 - done.mean(), abs=margin)
    assert 1 - burst.delivered.mean() == pytest.approx(1 - done.mean(), abs=2 * margin)
    assert plan.latency_s == pytest.approx(slots[done].mean() / 1000, rel=0.01)
    assert burst.latency_s.mean() == pytest.approx(slots.mean() / 1000, rel=0.02)
    assert ks_2samp(burst.finish_ns / 1e6, slots.astype(float), method="asymp").pvalue > 1e-3
    assert np.all(burst.packets == 11)


def test_the_plan_of_slots_is_the_negative_binomial_distribution() -> None:
    law = SLOTTED.law(loss_for(SLOTTED, 6.0), 200, interference_w=0.0)
    failed = np.arange(0, 20)
    weights = nbinom.pmf(failed, 11, math.exp(-(10**-0.3)))
    assert law.delivered() == pytest.approx(weights.sum())
    assert law.units_if_delivered() == pytest.approx((weights * (11 + failed)).sum())
    assert law.units() == pytest.approx((weights * (11 + failed)).sum() + 30 * (1 - weights.sum()))


def test_a_message_too_large_for_its_slots_is_refused_with_what_fits() -> None:
    # 30 slots of 158.27 bit: 593 bytes.
    for act in (
        lambda: SLOTTED.plan(100.0, 600),
        lambda: send(SLOTTED, [100.0], 600),
        lambda: SLOTTED.medium({"a": 100.0}, rng=np.random.default_rng(0)).submit("a", 600, 0),
    ):
        with pytest.raises(ValueError, match=r"needs 31 slots .* send 593 bytes at most"):
            act()
    assert SLOTTED.plan(60.0, 593).message_loss < 1e-3


def test_mix2fld_loads_more_down_than_up() -> None:
    # 40 dBm against 23 dBm: 17 dB, so fewer slots are lost down at the same loss.
    up = MIX2FLD.law(115.0, 5000, interference_w=0.0)
    down = MIX2FLD.law(115.0, 5000, interference_w=0.0, up=False)
    assert 10 * math.log10(float(down.snr / up.snr)) == pytest.approx(17.0)
    assert down.fail < up.fail


# The engines against each other.

SCENES = {
    "outage": (Shannon(threshold_db=5.0, max_attempts=3), 2000),
    "chen": (replace(CHEN, interference_w=(2e-8,), max_attempts=2), 2000),
    "slotted": (SLOTTED, 200),
}


def both(name: str, n: int = 3000) -> tuple[Outcomes, list[Delivery], Shannon, np.ndarray]:
    family, size = SCENES[name]
    snrs_db = np.random.default_rng(4).uniform(2, 12, n)
    losses_db = np.array([loss_for(family, snr_db) for snr_db in snrs_db])
    if name == "chen":
        losses_db = np.random.default_rng(4).uniform(40, 54, n)
    burst = send(family, losses_db, size, seed=5)
    devices = [f"d{i:04}" for i in range(n)]
    medium = family.medium(
        dict(zip(devices, losses_db.tolist(), strict=True)), rng=np.random.default_rng(6)
    )
    return burst, medium.offer(devices, [size] * n, [0.0] * n), family, losses_db


@pytest.mark.parametrize("name", SCENES)
def test_burst_medium_and_plan_have_one_law(name: str) -> None:
    burst, calendar, family, losses_db = both(name)
    n = len(calendar)
    assert (
        ks_2samp(burst.finish_ns / 1e9, [item.finish_s for item in calendar], method="asymp").pvalue
        > 0.01
    )
    lost = 1 - burst.delivered.mean(), 1 - np.mean([item.delivered for item in calendar])
    plan = family.plan(losses_db, SCENES[name][1])
    sigma = math.sqrt(np.mean(plan.message_loss * (1 - plan.message_loss)) / n)
    assert 0.01 < lost[0] < 0.9
    assert lost == pytest.approx((plan.message_loss.mean(),) * 2, abs=3.5 * sigma)
    joules = burst.energy_j(family.radio), np.array([item.energy_j for item in calendar])
    for ours in joules:
        spread = np.std(ours - plan.energy_j) / math.sqrt(n)
        assert ours.mean() == pytest.approx(plan.energy_j.mean(), abs=4 * spread)


def test_through_the_same_blocks_both_engines_do_exactly_the_same() -> None:
    family, size = SLOTTED, 150
    losses_db = np.array([loss_for(family, snr_db) for snr_db in np.linspace(0, 10, 40)])
    blocks = Drawn(3_000_000)
    burst = send(family, losses_db, size, blocks=blocks)
    devices = [f"d{i:02}" for i in range(40)]
    medium = family.medium(
        dict(zip(devices, losses_db.tolist(), strict=True)),
        rng=np.random.default_rng(0),
        blocks=blocks,
    )
    calendar = medium.offer(devices, [size] * 40, [0.0] * 40)
    assert [REASONS[code] for code in burst.reason] == [item.reason for item in calendar]
    assert burst.finish_ns.tolist() == [round(item.finish_s * 1e9) for item in calendar]
    assert burst.attempts.tolist() == [item.attempts for item in calendar]
    assert len({item.reason for item in calendar}) == 2


# The calendar.


def test_a_device_sends_one_message_after_the_other_and_hears_meanwhile() -> None:
    family = Shannon(threshold_db=0.0, bandwidth_hz=1e6, station_bandwidth_hz=2e6, max_attempts=1)
    medium = family.medium(
        {"a": 60.0, "b": 60.0}, rng=np.random.default_rng(0), blocks=Constant(1.0)
    )
    tickets = [medium.submit("a", 1250, 0), medium.submit("a", 1250, 2_000_000)]
    tickets += [medium.submit("a", 1250, 0, direction="down"), medium.submit("b", 1250, 0)]
    found = dict(medium.advance(None))
    # 10 000 bit at 1 bit/s/Hz: 10 ms up, 5 ms down.
    assert [found[ticket].finish_s for ticket in tickets] == pytest.approx(
        [0.01, 0.02, 0.005, 0.01]
    )
    assert found[tickets[1]].queue_s == pytest.approx(0.008)
    assert found[tickets[2]].tx_j == 0
    # 23 dBm for 10 ms.
    assert found[tickets[0]].tx_j == pytest.approx(0.19953 * 0.01, rel=1e-4)


def test_who_leaves_stops_sending_and_is_charged_for_what_it_sent() -> None:
    family = Shannon(threshold_db=0.0, max_attempts=1)
    medium = family.medium({"a": 60.0}, rng=np.random.default_rng(0), blocks=Constant(1.0))
    medium.submit("a", 1250, 0)
    medium.submit("a", 1250, 1)
    medium.advance(4_000_000)
    ended = [delivery for _, delivery in medium.leave("a")]
    assert [item.reason for item in ended] == ["off", "off"]
    assert [item.air_s for item in ended] == pytest.approx([0.004, 0.0])
    assert medium.advance(None) == []


def test_a_deadline_cuts_and_frees_the_band() -> None:
    family = Shannon(threshold_db=0.0, max_attempts=1)
    medium = family.medium({"a": 60.0}, rng=np.random.default_rng(0), blocks=Constant(1.0))
    medium.submit("a", 12_500, 0, deadline_ns=30_000_000)
    medium.submit("a", 1250, 0)
    cut, after = (delivery for _, delivery in medium.advance(None))
    assert (cut.reason, cut.finish_s, cut.air_s) == ("deadline", 0.03, 0.03)
    assert (after.reason, after.finish_s) == ("delivered", pytest.approx(0.04))


sizes = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 500), st.integers(0, 20)),
    min_size=1,
    max_size=12,
)


@given(sizes, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_the_offer_changes_nothing(
    messages: list[tuple[str, int, int]], shuffle: object
) -> None:
    def run(rows: list[tuple[str, int, int]]) -> list[Delivery]:
        family = Shannon(threshold_db=5.0, max_attempts=2, shannon_floor_db=0.0)
        losses_db = {"a": loss_for(family, 12), "b": loss_for(family, 3), "c": 400.0}
        medium = family.medium(losses_db, rng=np.random.default_rng(1))
        devices, bytes_, ready = zip(*rows, strict=True)
        return medium.offer(devices, bytes_, [ms / 1000 for ms in ready])

    first = run(messages)
    shuffled = list(messages)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    again = run(shuffled)
    key = repr
    assert sorted(map(key, first)) == sorted(map(key, again))
    assert len(first) == len(messages)
    for item in first:
        assert item.energy_j >= 0
        assert item.finish_s >= item.start_s >= item.ready_s
        assert item.attempts <= 2


def test_the_run_of_a_reference_scene_has_not_changed() -> None:
    family = Shannon(threshold_db=5.0, max_attempts=3)
    losses_db = {f"d{i}": loss_for(family, 3.0 + i) for i in range(8)}
    medium = family.medium(losses_db, rng=np.random.default_rng(2020))
    medium.trace = trace = Fingerprint()
    devices = list(losses_db) * 5
    ready_s = [0.003 * (i // 8) for i in range(40)]
    medium.offer(devices, [300 + 7 * i for i in range(40)], ready_s)
    assert trace.digest == "277d5808f4489bda"


# Over the air.


def test_the_mean_over_the_air_has_the_noise_of_the_paper() -> None:
    values = np.random.default_rng(0).normal(size=(10, 200_000))
    heard = over_the_air_mean(values, 6.0, np.random.default_rng(1))
    noise = heard - values.mean(axis=0)
    # sigma^2 / (P n^2) = 10^-0.6 / 100.
    assert noise.mean() == pytest.approx(0, abs=5 * 0.0501 / math.sqrt(200_000))
    assert noise.var() == pytest.approx(10**-0.6 / 100, rel=0.02)
    assert over_the_air_mean(np.ones((3, 2, 4)), 40.0, np.random.default_rng(1)).shape == (2, 4)


def test_bad_input_is_refused() -> None:
    for kwargs, words in (
        ({"bandwidth_hz": -1.0}, r"bandwidth_hz = -1.0 must be above 0"),
        ({"tx_power_dbm": math.nan}, r"tx_power_dbm = nan is not finite"),
        ({"error_model": "outge"}, r"did you mean 'outage'"),
        ({"error_model": "slotted"}, r"threshold_db = None; .* needs a number"),
        ({"interference_w": ()}, r"interference_w is empty"),
        ({"max_attempts": 0}, r"max_attempts = 0 is no count"),
        ({"waterfall": 0.0}, r"waterfall = 0.0 must be above 0"),
        ({"threshold_db": -5.0, "shannon_floor_db": 0.0}, r"carries nothing; raise it"),
        ({"slot_s": 1e-12, "error_model": "slotted", "threshold_db": 0.0}, r"below 1 ns"),
    ):
        with pytest.raises(ValueError, match=words):
            Shannon(**kwargs)
    with pytest.raises(ValueError, match=r"fading = 'rician' has no formula"):
        Shannon().plan(100.0, 10, fading="rician")
    with pytest.raises(ValueError, match=r"fading = 'rayleigh' has no formula .* 'chen'"):
        CHEN.plan(100.0, 10, fading="rayleigh")
    with pytest.raises(ValueError, match=r"takes no fading"):
        CHEN.medium({"a": 50.0}, rng=np.random.default_rng(0), blocks=Constant(1.0))
    with pytest.raises(ValueError, match=r"losses_db = nan is not finite"):
        Shannon().medium({"a": math.nan}, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"give one row per device"):
        over_the_air_mean(np.ones((0, 3)), 10.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"values = .*nan"):
        over_the_air_mean([1.0, math.nan], 10.0, np.random.default_rng(0))
