from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from channel_sim import (
    Delivery,
    Direction,
    FdmaParameters,
    build_fdma,
    draw_distances_m,
    free_space_db,
)


def streams(*names: str) -> np.random.Generator:
    """Return a generator that depends on the names and on nothing else."""
    return np.random.default_rng([7, *"/".join(names).encode()])


NAMES = [f"dev{i}" for i in range(8)]
FIXED = FdmaParameters(sub_bands=16)


def traffic(names: list[str], parameters: FdmaParameters = FIXED) -> dict[str, list[Delivery]]:
    """Send three messages per device each way; deliveries by device."""
    distances_m = draw_distances_m(names, min_m=5.0, max_m=120.0, streams=streams)
    senders = [name for name in names for _ in range(3)]
    found: dict[str, list[Delivery]] = {name: [] for name in names}
    directions: tuple[Direction, Direction] = ("up", "down")
    for direction in directions:
        medium = build_fdma(parameters, distances_m, streams=streams)
        times_s = [0.0, 0.0, 5.0] * len(names)
        sizes_bytes = [40_000] * len(senders)
        for delivery in medium.offer(senders, sizes_bytes, times_s, direction=direction):
            found[delivery.device].append(delivery)
    return found


def test_same_seed_same_deliveries() -> None:
    assert traffic(NAMES) == traffic(NAMES)


def test_one_more_device_leaves_the_deliveries_of_the_others() -> None:
    more = traffic(["newcomer", *NAMES])
    assert {name: more[name] for name in NAMES} == traffic(NAMES)


def test_the_order_of_devices_changes_nothing() -> None:
    assert traffic(NAMES[::-1]) == traffic(NAMES)


def test_every_device_has_its_own_place_and_its_own_walls() -> None:
    distances_m = draw_distances_m(NAMES, min_m=5.0, max_m=120.0, streams=streams)
    up = build_fdma(FIXED, distances_m, streams=streams)
    assert len(set(distances_m.values())) == len(NAMES)
    assert len({link.shadowing_db for link in up.links["up"].values()}) == len(NAMES)


def test_devices_are_spread_evenly_over_the_ring() -> None:
    names = [str(i) for i in range(5_000)]
    distances_m = draw_distances_m(names, min_m=10.0, max_m=50.0, streams=streams)
    # Even over the area: the squared distance is uniform.
    areas = (np.square(list(distances_m.values())) - 10**2) / (50**2 - 10**2)
    assert stats.kstest(areas, "uniform").pvalue > 0.01


def test_shadowing_differs_between_links_and_never_within_one() -> None:
    parameters = FdmaParameters(fading="none", shadowing_sigma_db=4.0)
    devices = 4_000
    both = build_fdma(parameters, {str(i): 30.0 for i in range(devices)}, streams=streams)
    up, down = both.links["up"], both.links["down"]
    shadowing_db = np.array([link.shadowing_db for link in up.values()])
    # The sample variance of n normals has standard error sigma^2 sqrt(2 / (n - 1)).
    assert abs(shadowing_db.var(ddof=1) - 16.0) < 3 * 16.0 * math.sqrt(2 / (devices - 1))
    assert [link.shadowing_db for link in down.values()] == shadowing_db.tolist()
    deliveries = both.offer(["0"] * 50, [40_000] * 50, [float(k) for k in range(50)])
    assert len({d.air_s for d in deliveries}) == 1


def test_up_and_down_fade_apart() -> None:
    links = build_fdma(FIXED, {"dev0": 30.0}, streams=streams).links
    fading_up, fading_down = links["up"]["dev0"].fading, links["down"]["dev0"].fading
    assert fading_up is not None
    assert fading_down is not None
    assert [fading_up.gain(k) for k in range(9)] != [fading_down.gain(k) for k in range(9)]


def test_indoor_link_budget_at_10_metres() -> None:
    # Free space 40.052 dB at 1 m plus 30 dB; 1 MHz of 20 MHz for each of 20 devices:
    # noise -174 + 60 + 7 = -107 dBm; uplink 16 dBm, all in the sub-band.
    parameters = FdmaParameters(shadowing_sigma_db=0.0)
    links = build_fdma(parameters, {str(i): 10.0 for i in range(20)}, streams=streams).links
    assert links["up"]["0"].mean_snr_db == pytest.approx(16.0 - 70.052 + 107.0, abs=1e-3)
    # The station splits 20 dBm and 20 MHz alike, so the SNR is that of the whole
    # band: 20 - 70.052 + 93.99 (noise of 20 MHz, oracles.md 2.4).
    assert links["down"]["0"].mean_snr_db == pytest.approx(20.0 - 70.052 + 93.99, abs=5e-3)


def test_more_devices_get_narrower_sub_bands_unless_their_number_is_given() -> None:
    alone = build_fdma(FdmaParameters(), {"a": 9.0}, streams=streams)
    shared = build_fdma(FdmaParameters(), {"a": 9.0, "b": 9.0}, streams=streams)
    fixed = build_fdma(FIXED, {"a": 9.0}, streams=streams)
    bandwidths_hz = [medium.links["up"]["a"].bandwidth_hz for medium in (alone, shared, fixed)]
    assert bandwidths_hz == [20e6, 10e6, 1.25e6]


def test_each_direction_has_its_own_bandwidth() -> None:
    # FedScale has one bandwidth for both.
    parameters = FdmaParameters(bandwidth_up_hz=8e6, bandwidth_down_hz=2e6)
    links = build_fdma(parameters, {"a": 9.0, "b": 9.0}, streams=streams).links
    assert (links["up"]["a"].bandwidth_hz, links["down"]["a"].bandwidth_hz) == (4e6, 1e6)


def test_reference_loss_is_free_space_unless_given() -> None:
    assert FdmaParameters().path_loss_db(1.0) == pytest.approx(free_space_db(1.0, 2.4e9))
    assert FdmaParameters(reference_loss_db=46.6777).path_loss_db(10.0) == pytest.approx(76.6777)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("carrier_hz", 0.0),
        ("bandwidth_up_hz", -20e6),
        ("bandwidth_down_hz", math.inf),
        ("sub_bands", 0),
        ("tx_power_up_dbm", math.nan),
        ("tx_power_down_dbm", math.inf),
        ("noise_figure_db", math.nan),
        ("path_loss_exponent", -3.0),
        ("reference_loss_db", math.nan),
        ("reference_distance_m", 0.0),
        ("shadowing_sigma_db", -4.0),
        ("fading", "rician"),
        ("coherence_s", 0.0),
        ("fade_margin_db", math.inf),
        ("shannon_alpha", 0.0),
        ("shannon_cap_bps_hz", -1.0),
        ("shannon_floor_db", math.nan),
        ("mtu_bytes", 0),
        ("max_attempts", 0),
        ("ack_timeout_s", -1.0),
    ],
)
def test_every_bad_parameter_is_refused_by_its_own_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{key} = .*{str(value).strip('-')}.*give"):
        FdmaParameters(**{key: value})


def test_bad_places_are_refused() -> None:
    with pytest.raises(ValueError, match=r"distance_m = 0.0 .*give"):
        build_fdma(FIXED, {"a": 0.0}, streams=streams)
    with pytest.raises(ValueError, match=r"min_m = 50.0 is above max_m = 10.0; swap"):
        draw_distances_m(["a"], min_m=50.0, max_m=10.0, streams=streams)
    with pytest.raises(ValueError, match=r"17 devices do not fit 16 sub-bands.*give"):
        build_fdma(FIXED, {str(i): 9.0 for i in range(17)}, streams=streams)
    with pytest.raises(ValueError, match=r"0 devices .*give"):
        build_fdma(FdmaParameters(), {}, streams=streams)
