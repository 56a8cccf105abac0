"""Propagation and fading against their oracles: ns-3's losses, closed forms, Clarke's fades.

ns-3 columns: 3.37 without shadowing (oracles.md, 2.1) and the vectors of
ns-3's own test suite; one value of MathWorks' page on nrPathLoss. Statistics
on 500,000 samples with the thresholds of Sionna's tests.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from channel_sim.fading import (
    BlockFading,
    BurstLosses,
    Clarke,
    GilbertElliott,
    Nakagami,
    Rayleigh,
    Rician,
    crossing_rate_hz,
    mean_fade_s,
)
from channel_sim.propagation import Propagation, correlated_normals, rma_los_db
from validation.tables.losses import ROWS

SAMPLES = 500_000
DRAWN = ("UMa LOS 2 GHz", "UMa NLOS 2 GHz", "UMi NLOS 3.5 GHz", "InH NLOS 2.4 GHz")
OUTAGES = (
    ("Rayleigh", Rayleigh(), (0.09516, 0.18088, 0.27111, 0.63212), stats.expon),
    (
        "Rician K = 6 dB",
        Rician(6.0),
        (0.01647, 0.04738, 0.10079, 0.56506),
        stats.ncx2(2, 2 * 10**0.6, scale=1 / (2 * (1 + 10**0.6))),
    ),
    (
        "Nakagami m = 2",
        Nakagami(2.0),
        (0.01752, 0.06130, 0.13270, 0.59399),
        stats.gamma(2.0, scale=0.5),
    ),
)
THRESHOLDS_DB = (-10.0, -7.0, -5.0, 0.0)
SIGHTS = (
    # model, distance, probability by hand, sigma in sight and without
    ("umi", 36.0, 0.5 + 0.5 * math.exp(-1), 4.0, 7.82),
    ("uma", 63.0, 18 / 63 + math.exp(-1) * (1 - 18 / 63), 4.0, 6.0),
    ("inh_mixed", 5.9, math.exp(-1), 3.0, 8.03),
)
DOPPLER_HZ = 8.0


def _claim(
    claim: str, ours: float, oracle: float, *, tolerance: float, unit: str, source: str
) -> dict[str, Any]:
    return {
        "claim": claim,
        "ours": float(ours),
        "oracle": float(oracle),
        "tolerance": tolerance,
        "unit": unit,
        "source": source,
        "holds": bool(abs(ours - oracle) <= tolerance),
    }


def _losses() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every row at the distance where it is furthest off."""
    claims, curves = [], {}
    for label, loss, carrier_hz, distances_m, oracle_db, tolerance, source in ROWS:
        ours_db = np.atleast_1d(loss(np.array(distances_m), carrier_hz))
        worst = int(np.argmax(np.abs(ours_db - oracle_db)))
        claims.append(
            _claim(
                f"{label}, worst of {len(distances_m)} at {distances_m[worst]:g} m",
                ours_db[worst],
                oracle_db[worst],
                tolerance=tolerance,
                unit="dB",
                source=source,
            )
        )
        if label in DRAWN:
            fine_m = np.geomspace(distances_m[0], distances_m[-1], 200)
            curves[label] = {
                "ours": [fine_m.tolist(), np.asarray(loss(fine_m, carrier_hz)).tolist()],
                "oracle": [list(distances_m), list(oracle_db)],
            }
    matlab_db = rma_los_db(1000 * math.sqrt(2), 3.5e9, station_height_m=30.0, building_height_m=7.0)
    claims.append(
        _claim(
            "RMa LOS 3.5 GHz, buildings of 7 m",
            float(matlab_db),
            110.1615,
            tolerance=1e-4,
            unit="dB",
            source="MathWorks, nrPathLoss",
        )
    )
    return claims, curves


def _fading(samples: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The laws: KS distance of the blocks, outage against the page."""
    claims, curves = [], {}
    links, blocks = np.divmod(np.arange(samples), 500)
    for label, law, row, oracle in OUTAGES:
        gains = BlockFading(law, 0.05, rng=np.random.default_rng(1)).gains(links, blocks)
        distance = stats.kstest(gains, oracle.cdf).statistic
        claims.append(
            _claim(
                f"{label}: KS distance of {samples} block gains",
                distance,
                0.0,
                tolerance=0.01,
                unit="",
                source="scipy.stats; threshold of Sionna's tests",
            )
        )
        formula = law.outage(10 ** (np.array(THRESHOLDS_DB) / 10))
        worst = int(np.argmax(np.abs(formula - row)))
        claims.append(
            _claim(
                f"{label}: outage at {THRESHOLDS_DB[worst]:g} dB, worst of 4",
                formula[worst],
                row[worst],
                tolerance=6e-6,
                unit="",
                source="oracles.md 3.1",
            )
        )
        fine_db = np.linspace(-20, 3, 93)
        drawn = np.searchsorted(np.sort(gains), 10 ** (fine_db / 10)) / samples
        curves[label] = {
            "ours": [fine_db.tolist(), drawn.tolist()],
            "oracle": [list(THRESHOLDS_DB), list(row)],
        }
    return claims, curves


def _drops(samples: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Sight and shadowing of drops, correlation of shadows in space."""
    claims = []
    for model, distance_m, chance, *sigmas_db in SIGHTS:
        drop = Propagation(model=model, carrier_hz=2e9).losses(
            np.full(samples, distance_m), rng=np.random.default_rng(2)
        )
        source = "TR 38.901 tables 7.4.1-1, 7.4.2-1; threshold of Sionna's tests"
        claims.append(
            _claim(
                f"{model}: devices in sight at {distance_m:g} m",
                drop.los.mean(),
                chance,
                tolerance=0.01,
                unit="",
                source=source,
            )
        )
        for state, sigma_db in zip((True, False), sigmas_db, strict=True):
            distance = stats.kstest(
                drop.shadowing_db[drop.los == state], "norm", args=(0.0, sigma_db)
            ).statistic
            claims.append(
                _claim(
                    f"{model}: KS distance of shadows {'in' if state else 'out of'} sight",
                    distance,
                    0.0,
                    tolerance=0.01,
                    unit="",
                    source=source,
                )
            )
    apart = np.array([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0])
    # One line of places per drop, turned at random.
    count = 20_000
    fields = np.empty((count, len(apart)))
    rng = np.random.default_rng(3)
    for row in fields:
        turn = rng.uniform(0, 2 * np.pi)
        places_m = 13.0 * apart[:, None] * np.array([math.cos(turn), math.sin(turn)])
        row[:] = correlated_normals(places_m, correlation_m=13.0, rng=rng)
    ours = np.array([np.corrcoef(fields[:, 0], column)[0, 1] for column in fields.T])
    worst = int(np.argmax(np.abs(ours - np.exp(-apart))))
    claims.append(
        _claim(
            f"shadows {apart[worst]:g} d_cor apart, worst of {len(apart)}, {count} drops",
            ours[worst],
            math.exp(-apart[worst]),
            tolerance=0.03,
            unit="",
            source="exp(-d / d_cor), TR 38.901 7.4.4; threshold of Sionna's tests",
        )
    )
    fine = np.linspace(0, 4, 100)
    return claims, {
        "ours": [apart.tolist(), ours.tolist()],
        "oracle": [fine.tolist(), np.exp(-fine).tolist()],
    }


def _fades(*, quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Clarke's link against Rice: how often it fades, how long."""
    thresholds_db = np.arange(-22.5, 5.1, 2.5)
    thresholds = 10 ** (thresholds_db / 10)
    starts, below = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    links, span_s = (4, 100.0) if quick else (40, 250.0)
    times_s = np.arange(0.0, span_s, 5e-4)
    for seed in range(links):
        gains = Clarke(DOPPLER_HZ, rng=np.random.default_rng(seed), paths=64).gains(times_s)
        bad = gains < thresholds[:, None]
        starts += np.count_nonzero(~bad[:, :-1] & bad[:, 1:], axis=1)
        below += bad.mean(axis=1)
    rates_hz = starts / (links * span_s)
    fades_s = below / links / rates_hz
    tenth = int(np.argmin(np.abs(thresholds_db + 10)))
    slack = 0.1 if quick else 0.03
    claims = [
        _claim(
            "falls through -10 dB at 8 Hz Doppler",
            rates_hz[tenth],
            5.738,
            tolerance=slack * 5.738,
            unit="1/s",
            source="Rice 1944, oracles.md 2.3",
        ),
        _claim(
            "mean fade below -10 dB at 8 Hz Doppler",
            1000 * fades_s[tenth],
            16.59,
            tolerance=slack * 16.59,
            unit="ms",
            source="Rice 1944, oracles.md 2.3",
        ),
    ]
    rate = -math.log(0.89) / 0.01
    chain = GilbertElliott(good_s=11 / rate, bad_s=1.1 / rate, good_loss=0.001, bad_loss=0.5)
    link = BurstLosses(chain, rng=np.random.default_rng(5))
    packets = 100_000 if quick else 2_000_000
    lost = np.fromiter((link.lost(0.01 * k) for k in range(packets)), dtype=bool, count=packets)
    claims.append(
        _claim(
            "Gilbert-Elliott: packets lost",
            lost.mean(),
            0.04636,
            tolerance=0.008 if quick else 0.002,
            unit="",
            source="oracles.md 2.3: p 0.01, r 0.1, e_G 0.001, e_B 0.5",
        )
    )
    fine_db = np.linspace(-22, 5, 100)
    fine = 10 ** (fine_db / 10)
    return claims, {
        "ours": [thresholds_db.tolist(), rates_hz.tolist(), (1000 * fades_s).tolist()],
        "oracle": [
            fine_db.tolist(),
            crossing_rate_hz(fine, DOPPLER_HZ).tolist(),
            (1000 * mean_fade_s(fine, DOPPLER_HZ)).tolist(),
        ],
    }


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Return the claims and what the picture needs."""
    samples = 50_000 if quick else SAMPLES
    claims: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for name, (more, curve) in {
        "losses": _losses(),
        "outage": _fading(samples),
        "shadows": _drops(samples),
        "fades": _fades(quick=quick),
    }.items():
        claims += more
        curves[name] = curve
    return {"claims": claims, "curves": curves}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw four panels: losses, outage, shadows in space, fades in time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = figures["curves"]
    canvas, ((losses, outage), (shadows, fades)) = plt.subplots(
        2, 2, figsize=(9.2, 7.0), layout="constrained"
    )
    for axes, panel in ((losses, curves["losses"]), (outage, curves["outage"])):
        for colour, (label, curve) in enumerate(panel.items()):
            axes.plot(*curve["ours"], color=f"C{colour}", label=label)
            axes.plot(*curve["oracle"], "o", color=f"C{colour}", mfc="white", ms=5)
    losses.set(xscale="log", xlabel="horizontal distance [m]", ylabel="path loss [dB]")
    losses.set_title("Path loss (o: ns-3.37)", fontsize=10)
    outage.set(
        yscale="log",
        ylim=(1e-3, 1.3),
        xlabel="threshold over mean [dB]",
        ylabel="outage probability",
    )
    outage.set_title("Outage of block fading (o: closed form)", fontsize=10)
    shadows.plot(*curves["shadows"]["ours"], color="C0", label="fields over drops")
    shadows.plot(
        *(values[::5] for values in curves["shadows"]["oracle"]),
        "o",
        color="C0",
        mfc="white",
        ms=5,
        label=r"$\exp(-d/d_\mathrm{cor})$",
    )
    shadows.set(xlabel=r"distance apart [$d_\mathrm{cor}$]", ylabel="correlation of shadowing")
    shadows.set_title("Shadows of neighbours", fontsize=10)
    ours, oracle = curves["fades"]["ours"], curves["fades"]["oracle"]
    fades.plot(ours[0], ours[1], color="C0", label="falls per second")
    fades.plot(oracle[0][::7], oracle[1][::7], "o", color="C0", mfc="white", ms=5)
    fades.plot(ours[0], ours[2], color="C1", label="mean fade [ms]")
    fades.plot(oracle[0][::7], oracle[2][::7], "o", color="C1", mfc="white", ms=5)
    fades.set(yscale="log", ylim=(1, 300), xlabel="threshold over mean [dB]")
    fades.set_ylabel("falls [1/s], fades [ms]")
    fades.set_title("Clarke's link, 8 Hz Doppler (o: Rice)", fontsize=10)
    for axes in (losses, outage, shadows, fades):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    canvas.savefig(path)
    plt.close(canvas)
