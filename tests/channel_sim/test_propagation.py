from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from channel_sim.fading import Nakagami, Rayleigh, Rician
from channel_sim.propagation import (
    MODELS,
    Propagation,
    free_space_db,
    hata_db,
    inf_nlos_db,
    inh_nlos_db,
    log_distance_db,
    p1238_db,
    power_law_db,
    rma_los_db,
    uma_los_db,
    uma_nlos_db,
    umi_los_db,
    umi_nlos_db,
    wall_db,
)

TOLD_APART = [name for name, model in MODELS.items() if model.nlos_db is not None]


def scene(model: str, **changes: Any) -> Propagation:
    """A scene at a carrier that every model takes."""
    needed = {"exponent": 3.0} if "exponent" in MODELS[model].reads else {}
    return Propagation(model=model, **{"carrier_hz": 0.9e9, **needed, **changes})


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("propagation", "loss_db"),
    [
        (scene("free_space"), free_space_db(80.0, 0.9e9)),
        (
            scene("log_distance", exponent=2.32, reference_loss_db=128.95, gains_db=3.0),
            log_distance_db(80.0, 2.32, reference_loss_db=125.95),
        ),
        (
            scene("log_distance", reference_distance_m=40.0),
            free_space_db(40.0, 0.9e9) + 30 * math.log10(2),
        ),
        (scene("power_law", exponent=3.5), power_law_db(80.0, 3.5)),
        (scene("uma", los="los"), uma_los_db(80.0, 0.9e9)),
        (
            scene("uma", los="nlos", device_height_m=4.5),
            uma_nlos_db(80.0, 0.9e9, device_height_m=4.5),
        ),
        (scene("umi", los="nlos", carrier_hz=3.5e9), umi_nlos_db(80.0, 3.5e9)),
        (
            scene("rma", los="los", station_height_m=50.0),
            rma_los_db(80.0, 0.9e9, station_height_m=50.0),
        ),
        (scene("inh_open", los="nlos"), inh_nlos_db(80.0, 0.9e9)),
        (
            scene("inf_dl", los="nlos"),
            inf_nlos_db(80.0, 0.9e9, clutter="dl", station_height_m=1.5),
        ),
        (scene("hata_open"), hata_db(80.0, 0.9e9, area="open")),
        (
            scene("hata_urban", station_height_m=60.0),
            hata_db(80.0, 0.9e9, area="urban", station_height_m=60.0),
        ),
        (scene("p1238_office", floors=2), p1238_db(80.0, 0.9e9, building="office", floors=2)),
        # Half the wall's depth of 25 m at 0.5 dB/m for "simple", a third for the others.
        (scene("uma", los="los", indoor="simple"), uma_los_db(80.0, 0.9e9) + 20 + 6.25),
        (
            scene("rma", los="los", indoor="low"),
            rma_los_db(80.0, 0.9e9) + wall_db("low", 0.9e9) + 10 / 6,
        ),
    ],
)
def test_mean_loss_is_the_models_own(propagation: Propagation, loss_db: Any) -> None:
    assert propagation.mean_loss_db(80.0) == pytest.approx(loss_db)


def test_mean_loss_weighs_both_states_in_decibels() -> None:
    # 36 m of UMi: in sight with probability (1 + exp(-1)) / 2.
    chance = 0.5 + 0.5 * math.exp(-1)
    expected = chance * umi_los_db(36.0, 0.9e9) + (1 - chance) * umi_nlos_db(36.0, 0.9e9) - 2
    assert scene("umi", gains_db=2.0).mean_loss_db(36.0) == pytest.approx(expected)


@pytest.mark.parametrize("model", list(MODELS))
@given(pair=st.lists(st.floats(0.5, 150.0), min_size=2, max_size=2))
@settings(deadline=None, max_examples=30)
def test_mean_loss_grows_with_distance(model: str, pair: list[float]) -> None:
    near_db, far_db = scene(model).mean_loss_db(np.minimum(sorted(pair), 149.9))
    assert far_db >= near_db - 1e-9


# Sionna checks sight and shadowing on 500,000 samples within 0.01.
@pytest.mark.parametrize(
    ("model", "distance_m", "chance", "los_sigma_db", "nlos_sigma_db"),
    # Chances by hand from table 7.4.2-1, sigmas of table 7.4.1-1.
    [
        ("umi", 36.0, 0.68394, 4.0, 7.82),
        ("uma", 63.0, 0.54849, 4.0, 6.0),
        ("inh_mixed", 5.9, 0.36788, 3.0, 8.03),
        ("inf_sl", 44.814, 0.36788, 4.3, 5.7),
        # 990 m: exp(-0.98); the breakpoint lies at 990.0 m (2 pi 35 1.5 * 900 / 300).
        ("rma", 989.0, 0.37569, 4.0, 8.0),
        ("rma", 991.0, 0.37494, 6.0, 8.0),
    ],
)
def test_sight_and_shadowing_follow_the_tables(
    model: str, distance_m: float, chance: float, los_sigma_db: float, nlos_sigma_db: float
) -> None:
    drop = scene(model).losses(np.full(500_000, distance_m), rng=rng(1))
    assert drop.los.mean() == pytest.approx(chance, abs=0.004)
    for seen, sigma_db in ((True, los_sigma_db), (False, nlos_sigma_db)):
        shadows_db = drop.shadowing_db[drop.los == seen]
        assert stats.kstest(shadows_db, "norm", args=(0.0, sigma_db)).statistic < 0.006


@pytest.mark.parametrize("model", list(MODELS))
def test_a_drop_is_the_loss_in_its_state_plus_its_shadow(model: str) -> None:
    distances_m = np.geomspace(2.0, 140.0, 200)
    drop = scene(model, gains_db=1.5).losses(distances_m, rng=rng(3))
    if model in TOLD_APART:
        bare_db = np.where(
            drop.los,
            scene(model, los="los").mean_loss_db(distances_m),
            scene(model, los="nlos").mean_loss_db(distances_m),
        )
        assert 0 < drop.los.sum() < 200
    else:
        bare_db = scene(model).mean_loss_db(distances_m)
        assert drop.los.all()
    assert drop.loss_db == pytest.approx(bare_db + drop.shadowing_db - 1.5)


def test_forced_sight_needs_no_other_state() -> None:
    # Beyond the 5 km of rural NLOS, LOS alone still holds.
    drop = scene("rma", los="los").losses([8000.0], rng=rng())
    assert drop.los.tolist() == [True]
    assert not scene("umi", los="nlos").losses([30.0, 5.0], rng=rng()).los.any()
    with pytest.raises(ValueError, match="distance_m = "):
        scene("rma").losses([8000.0], rng=rng())


def test_a_static_link_varies_between_links_not_within() -> None:
    # LoRaEnergySim drew its path loss noise again for every packet. Here 2000 links send 50
    # packets each: all of the variance of the loss lies between links, sigma^2 = 64, and fading
    # adds that of 10 lg Exp(1) within, (10 / ln 10)^2 pi^2 / 6 = 31.03 dB^2.
    propagation = scene("log_distance", shadowing_sigma_db=8.0, fading="rayleigh", speed_m_s=1.0)
    drop = propagation.losses(np.full(2000, 50.0), rng=rng(1))
    blocks = propagation.blocks(rng=rng(2))
    assert blocks is not None
    links, packets = np.divmod(np.arange(100_000), 50)
    gains_db = 10 * np.log10(blocks.gains(links, packets)).reshape(2000, 50)
    received_db = gains_db - drop.loss_db[:, None]
    within, between = received_db.var(axis=1, ddof=1).mean(), received_db.mean(axis=1).var()
    assert within == pytest.approx(31.03, rel=0.05)
    assert between == pytest.approx(64.0 + 31.03 / 50, rel=0.12)
    # Nothing moves: the same gain in every block that a run can reach.
    static = scene("log_distance", fading="rayleigh").blocks(rng=rng(2))
    assert static is not None
    assert (10**9 * 86_400 * 365) // static.coherence_ns == 0


def test_each_layer_has_draws_of_its_own() -> None:
    distances_m = np.full(300, 60.0)
    full = scene("uma", indoor="low").losses(distances_m, rng=rng(4))
    flat = scene("uma", indoor="low", shadowing_sigma_db=0.0).losses(distances_m, rng=rng(4))
    outside = scene("uma").losses(distances_m, rng=rng(4))
    assert flat.loss_db == pytest.approx(full.loss_db - full.shadowing_db)
    assert outside.los.tolist() == full.los.tolist()
    # Indoors sigma is 7 dB in both states, outdoors 4 or 6, of the same normals.
    sigma_db = np.where(outside.los, 4.0, 6.0)
    assert outside.shadowing_db / sigma_db == pytest.approx(full.shadowing_db / 7.0)


def test_one_more_device_changes_no_other() -> None:
    distances_m = np.linspace(5.0, 400.0, 101)
    places_m = np.stack([distances_m, np.sqrt(distances_m)], axis=1)
    for positions in (False, True):
        drops = [
            scene("umi", indoor="high").losses(
                distances_m[:count],
                rng=rng(9),
                positions_m=places_m[:count] if positions else None,
            )
            for count in (100, 101)
        ]
        assert drops[1].loss_db[:100] == pytest.approx(drops[0].loss_db)


@pytest.mark.parametrize(
    ("changes", "apart_m", "correlation"),
    # d_cor of TR 38.901 table 7.5-6: UMi 10 m in sight, 13 m without, 7 m indoors.
    [
        ({"los": "los"}, 10.0, math.exp(-1)),
        ({"los": "nlos"}, 13.0, math.exp(-1)),
        ({"indoor": "low"}, 7.0, math.exp(-1)),
        ({"shadowing_correlation_m": 40.0, "los": "los"}, 20.0, math.exp(-0.5)),
    ],
)
def test_neighbours_share_their_shadow(
    changes: dict[str, Any], apart_m: float, correlation: float
) -> None:
    # 300 pairs far from one another.
    first_m = np.stack(np.meshgrid(np.arange(15) * 911.0, np.arange(20) * 877.0), axis=-1)
    first_m = first_m.reshape(-1, 2)
    places_m = np.concatenate([first_m, first_m + apart_m * np.array([0.6, -0.8])])
    pairs = [
        scene("umi", **changes)
        .losses(np.full(600, 36.0), rng=rng(seed), positions_m=places_m)
        .shadowing_db.reshape(2, 300)
        for seed in range(50)
    ]
    table = np.concatenate(pairs, axis=1)
    assert np.corrcoef(table)[0, 1] == pytest.approx(correlation, abs=0.03)
    assert np.corrcoef(table[0], np.roll(table[0], 1))[0, 1] == pytest.approx(0.0, abs=0.03)


def test_high_devices_of_uma_draw_their_breakpoint() -> None:
    # Device at 22.5 m, 600 m away, 2 GHz: with h_E = 1 m the breakpoint lies at 13.8 km, with 12,
    # 15 and 18 m at 3.64, 2.0 and 0.84 km; only with 21 m is it passed, at
    # 4 * 4 * 1.5 * 2e9 / 3e8 = 160 m, so that the loss takes two values.
    propagation = Propagation(
        model="uma", carrier_hz=2e9, device_height_m=22.5, los="los", shadowing_sigma_db=0.0
    )
    drop = propagation.losses(np.full(4000, 600.0), rng=rng(1))
    plain_db = float(propagation.mean_loss_db(600.0))
    values_db, counts = np.unique(np.round(drop.loss_db, 6), return_counts=True)
    assert values_db[0] == pytest.approx(plain_db)
    slant_m = math.hypot(600.0, 2.5)
    assert values_db[1] == pytest.approx(
        plain_db + 18 * math.log10(slant_m / math.hypot(160.0, 2.5)), abs=1e-3
    )
    assert len(values_db) == 2
    # C = 0.95^1.5 * 1.25 * 6^3 * exp(-4) = 4.579: one in four of 1 - 1 / 5.579.
    assert counts[1] / 4000 == pytest.approx((1 - 1 / 5.579) / 4, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"fading": "rayleigh"}, Rayleigh()),
        ({"fading": "nakagami", "nakagami_m": 2.0}, Nakagami(2.0)),
        ({"fading": "rician", "rician_k_db": 3.0}, Rician(3.0)),
        # Without a K of its own, the mean of TR 38.901 table 7.5-6.
        ({"fading": "rician"}, Rician(9.0)),
    ],
)
def test_blocks_follow_the_named_law(changes: dict[str, Any], law: object) -> None:
    blocks = scene("umi", speed_m_s=2.0, **changes).blocks(rng=rng())
    assert blocks is not None
    assert blocks.law == law


def test_blocks_last_a_coherence_time() -> None:
    moving = scene("umi", carrier_hz=2.4e9, fading="rayleigh", speed_m_s=1.0)
    blocks = moving.blocks(rng=rng())
    assert blocks is not None
    # oracles.md 2.3: 0.423 / f_d, f_d = 8.006 Hz at 1 m/s and 2.4 GHz.
    assert blocks.coherence_ns == pytest.approx(0.423 / 8.006 * 1e9, rel=1e-4)
    blocks = moving.blocks(rng=rng(), coherence_s=0.25)
    assert blocks is not None
    assert blocks.coherence_ns == 250_000_000
    assert scene("umi").blocks(rng=rng()) is None


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("umii", {}, "model = 'umii' is unknown; did you mean 'umi'"),
        ("uma", {"los": "drawn"}, "did you mean 'draw'"),
        ("uma", {"fading": "rice"}, "did you mean 'rician'"),
        ("uma", {"indoor": "hi"}, "did you mean 'high'"),
        ("uma", {"exponent": 3.0}, "exponent = 3.0 is not read by model = 'uma'"),
        ("uma", {"floors": 0}, "floors = 0 is not read"),
        ("free_space", {"station_height_m": 9.0}, "station_height_m = 9.0 is not read"),
        ("power_law", {"reference_distance_m": 9.0}, "reference_distance_m = 9.0 is not read"),
        ("log_distance", {"exponent": None}, "exponent is missing"),
        ("hata_urban", {"los": "los"}, "does not tell sight apart"),
        ("inh_open", {"indoor": "low"}, "does not go with model"),
        ("rma", {"indoor": "high"}, "does not go with model"),
        ("uma", {"indoor": "simple", "carrier_hz": 7e9}, "holds below 6 GHz"),
        ("hata_urban", {"carrier_hz": 2e9}, "carrier_hz = 2000000000.0 is outside"),
        ("uma", {"carrier_hz": 0.0}, "carrier_hz = 0.0 must be above 0"),
        ("rma", {"station_height_m": 200.0}, "station_height_m = 200.0 is outside"),
        ("umi", {"device_height_m": 0.0}, "device_height_m = 0.0 must be above 0"),
        ("inf_sh", {"station_height_m": 1.8}, "station_height_m = 1.8"),
        ("uma", {"gains_db": math.nan}, "gains_db = nan"),
        ("uma", {"shadowing_sigma_db": -1.0}, "shadowing_sigma_db = -1.0"),
        ("uma", {"shadowing_correlation_m": 0.0}, "shadowing_correlation_m = 0.0"),
        ("uma", {"speed_m_s": -1.0}, "speed_m_s = -1.0"),
        ("log_distance", {"reference_loss_db": math.inf}, "reference_loss_db = inf"),
        ("p1238_office", {"floors": -1}, "floors = -1"),
        ("free_space", {"fading": "rician"}, "rician_k_db is missing"),
        ("uma", {"nakagami_m": 2.0}, "nakagami_m = 2.0 needs"),
    ],
)
def test_parameters_without_sense_are_refused_at_once(
    model: str, changes: dict[str, Any], message: str
) -> None:
    base = {"exponent": 3.0} if "exponent" in getattr(MODELS.get(model), "reads", ()) else {}
    with pytest.raises(ValueError, match=message):
        Propagation(model=model, **{"carrier_hz": 0.9e9, **base, **changes})


def test_drops_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"distances_m has shape \(\); give \(devices,\)"):
        scene("umi").losses(30.0, rng=rng())
    with pytest.raises(ValueError, match=r"positions_m has 1 rows for 2 distances_m"):
        scene("umi").losses([30.0, 20.0], rng=rng(), positions_m=[[0.0, 1.0]])
    with pytest.raises(ValueError, match=r"'hata_open' has no correlation distance"):
        scene("hata_open", shadowing_sigma_db=6.0).losses(
            [30.0], rng=rng(), positions_m=[[0.0, 1.0]]
        )
    with pytest.raises(ValueError, match=r"distance_m = .*-1.0"):
        scene("umi").losses([30.0, -1.0], rng=rng())


def test_no_devices_is_an_empty_drop() -> None:
    assert scene("umi").losses(np.empty(0), rng=rng()).loss_db.shape == (0,)
