from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_sim.reception import (
    captures,
    detected,
    effective_sinr_db,
    noise_mw,
    oqpsk_ber,
    oqpsk_per,
    sinr_chunks,
    success_by_ber,
    success_by_per,
    wifi_per,
)

Frame = tuple[int, int, float]


def chunks(wanted: Frame, others: list[Frame], noise: float) -> tuple[np.ndarray, np.ndarray]:
    return sinr_chunks(
        *wanted,
        interferer_start_ns=[start for start, _, _ in others],
        interferer_end_ns=[end for _, end, _ in others],
        interferer_power_mw=[power for _, _, power in others],
        noise_mw=noise,
    )


def test_noise_is_that_of_the_table() -> None:
    # oracles.md 2.4: -93.99 dBm at 20 MHz and 7 dB.
    assert noise_mw(20e6, 7.0) == pytest.approx(10**-9.399, rel=2e-3)


def test_a_frame_is_cut_where_the_interference_changes() -> None:
    duration_ns, sinr = chunks((0, 100, 1.0), [(-5, 20, 1.0), (50, 500, 2.0)], 0.1)
    assert duration_ns.tolist() == [20, 30, 50]
    assert sinr == pytest.approx([1 / 1.1, 1 / 0.1, 1 / 2.1])


def test_a_frame_that_only_touches_does_no_harm() -> None:
    duration_ns, sinr = chunks((100, 200, 1.0), [(0, 100, 5.0), (200, 300, 5.0)], 0.1)
    assert (duration_ns.tolist(), sinr.tolist()) == ([100], [10.0])


frames = st.tuples(st.integers(-50, 150), st.integers(0, 120), st.floats(0, 10)).map(
    lambda item: (item[0], item[0] + item[1], item[2])
)


@given(st.lists(frames, max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_chunks_agree_with_looking_at_every_nanosecond(
    others: list[Frame], shuffle: object
) -> None:
    duration_ns, sinr = chunks((0, 100, 2.0), others, 0.5)
    assert duration_ns.sum() == 100
    by_time = np.repeat(sinr, duration_ns)
    for now in range(100):
        heard = sum(power for start, end, power in others if start <= now < end)
        assert by_time[now] == pytest.approx(2.0 / (0.5 + heard))
    shuffle.shuffle(others)  # type: ignore[attr-defined]
    again = chunks((0, 100, 2.0), others, 0.5)
    assert again[0].tolist() == duration_ns.tolist()
    assert again[1] == pytest.approx(sinr)


def test_the_product_over_chunks_is_bit_by_bit() -> None:
    # 60 bytes of 802.15.4 at 250 kbit/s, two interferers, every bit drawn with
    # the SINR found by looking at who is on air in it.
    rng = np.random.default_rng(7)
    bit_ns, bits, noise = 4000, 480, 0.25
    others = [(100 * bit_ns, 250 * bit_ns, 0.9), (200 * bit_ns, 900 * bit_ns, 0.4)]
    now = np.arange(bits) * bit_ns
    heard = sum(power * ((start <= now) & (now < end)) for start, end, power in others)
    runs = 20_000
    wrong = rng.random((runs, bits)) < oqpsk_ber(1.0 / (noise + heard))
    survived = 1 - wrong.any(axis=1).mean()
    duration_ns, sinr = chunks((0, bits * bit_ns, 1.0), others, noise)
    ours = success_by_ber(duration_ns, sinr, rate_bps=250e3, ber=oqpsk_ber)
    assert 0.2 < ours < 0.8
    assert ours == pytest.approx(survived, abs=4 * np.sqrt(0.25 / runs))


def test_one_chunk_is_the_packet_error_of_the_table() -> None:
    duration_ns, sinr = chunks((0, 127 * 32_000, 1.0), [], 1.0)
    expected = 1 - float(oqpsk_per(0.0, 127))
    assert success_by_ber(duration_ns, sinr, rate_bps=250e3, ber=oqpsk_ber) == pytest.approx(
        expected
    )
    assert success_by_per(
        duration_ns, sinr, per=lambda snr_db: oqpsk_per(snr_db, 127)
    ) == pytest.approx(expected)


def test_shares_of_a_table_multiply() -> None:
    # Half of the frame at 20 dB, half at 19 dB.
    duration_ns, sinr = chunks((0, 1000, 1.0), [(500, 1000, 10**-1.9 - 10**-2)], 0.01)
    good, bad = 1 - wifi_per("ht7", np.array([20.0, 19.0]), 1500)
    ours = success_by_per(duration_ns, sinr, per=lambda snr_db: wifi_per("ht7", snr_db, 1500))
    assert ours == pytest.approx(np.sqrt(good * bad), rel=1e-6)


def test_a_hopeless_chunk_loses_the_frame() -> None:
    duration_ns, sinr = chunks((0, 1000, 1.0), [(0, 10, 1e9)], 0.001)
    assert success_by_per(duration_ns, sinr, per=lambda snr_db: wifi_per("ht7", snr_db, 1500)) == 0


def test_capture_at_its_threshold_and_not_below() -> None:
    assert captures(
        [3.99, 4.0, 0.0], [1.0, 1.0, 0.0], threshold_db=10 * np.log10(4.0)
    ).tolist() == [
        False,
        True,
        True,
    ]


def test_detection_needs_power_and_snr() -> None:
    # ns-3 threshold-preamble-detection-model: -82 dBm, 4 dB.
    assert detected([-82, -82.1, -70, -82], [4, 20, 3.9, 20]).tolist() == [True, False, False, True]


def test_effective_sinr_is_its_definition() -> None:
    sinr_db = np.array([0.0, 3.0, 10.0])
    expected = -1.6 * np.log(np.mean(np.exp(-(10 ** (sinr_db / 10)) / 1.6)))
    assert effective_sinr_db(sinr_db, 1.6) == pytest.approx(10 * np.log10(expected))


def test_effective_sinr_of_equal_tones_is_theirs_even_when_high() -> None:
    assert effective_sinr_db([[45.0, 45.0], [-20.0, -20.0]], 1.6) == pytest.approx([45.0, -20.0])


@given(st.lists(st.floats(-30, 50), min_size=1, max_size=12), st.floats(0.1, 100))
def test_effective_sinr_lies_between_least_and_mean(sinr_db: list[float], beta: float) -> None:
    linear = 10 ** (np.array(sinr_db) / 10)
    found = 10 ** (effective_sinr_db(sinr_db, beta) / 10)
    assert linear.min() * (1 - 1e-9) <= found <= linear.mean() * (1 + 1e-9)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"interferer_power_mw = \[-0.01\] is negative"):
        chunks((0, 100, 1.0), [(0, 50, -0.01)], 0.1)
    with pytest.raises(ValueError, match=r"noise_mw = 0 must be above 0"):
        chunks((0, 100, 1.0), [], 0)
    with pytest.raises(ValueError, match=r"ends before it starts"):
        chunks((100, 100, 1.0), [], 0.1)
    with pytest.raises(ValueError, match=r"ends before it starts"):
        chunks((0, 100, 1.0), [(50, 40, 1.0)], 0.1)
    with pytest.raises(ValueError, match=r"interferers have shapes"):
        sinr_chunks(
            0, 100, 1.0,
            interferer_start_ns=[0, 1], interferer_end_ns=[5], interferer_power_mw=[1], noise_mw=1,
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"interference_mw = -1 is negative"):
        captures(1, -1, threshold_db=3)
    with pytest.raises(ValueError, match=r"beta = 0 must be above 0"):
        effective_sinr_db([1.0], 0)
