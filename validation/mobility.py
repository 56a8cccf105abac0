"""Mobility and availability against closed forms.

Random waypoint: speed (Navidi and Camp 2004) and density in a disc (Hyytia,
Lassila and Virtamo 2006). Gauss-Markov: correlation. Up times: Weibull law,
the swing of a day.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.integrate import quad

from channel_sim.availability import Diurnal, WeibullOnOff
from channel_sim.places import Disc, GaussMarkov, RandomWaypoint, Rectangle

V_MIN_M_S, V_MAX_M_S, RADIUS_M = 0.5, 2.5, 100.0
ALPHA, SHAPE, SWING = 0.8, 0.7, 0.6
DAY_S = 86_400.0
NAVIDI = "Navidi and Camp 2004: density proportional to 1 / v"
HYYTIA = "Hyytia, Lassila and Virtamo 2006, as remembered; integrates to 1"


def claim(  # noqa: D103
    text: str, ours: float, oracle: float, tolerance: float, *, unit: str, source: str
) -> dict[str, Any]:
    return {
        "claim": text,
        "ours": float(ours),
        "oracle": float(oracle),
        "tolerance": float(tolerance),
        "unit": unit,
        "source": source,
        "holds": bool(abs(ours - oracle) <= tolerance),
    }


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Run all comparisons; see ``validation.run``."""
    claims: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    n = 20_000 if quick else 500_000
    threshold = 0.03 if quick else 0.01
    _waypoint(claims, curves, n, threshold)
    _gauss_markov(claims, curves, n)
    _weibull(claims, curves, 20_000 if quick else 200_000, threshold)
    _day(claims, curves, 5 if quick else 60)
    return {"claims": claims, "curves": curves}


def _radius_cdf(radius: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P(distance from the middle < r) of a random waypoint in the unit disc."""

    def density(r: float) -> float:
        inner = quad(lambda turn: math.sqrt(1 - (r * math.cos(turn)) ** 2), 0, math.pi)[0]
        return 2 * math.pi * r * 45 * (1 - r * r) / (64 * math.pi) * inner

    pieces = [quad(density, a, b)[0] for a, b in pairwise(radius)]
    return np.append(0.0, np.cumsum(pieces))


def _waypoint(claims: list[Any], curves: dict[str, Any], n: int, threshold: float) -> None:
    speeds = {"v_min_m_s": V_MIN_M_S, "v_max_m_s": V_MAX_M_S}
    one = RandomWaypoint(n, Disc(RADIUS_M), np.random.default_rng(1), **speeds)
    mean_m_s = (V_MAX_M_S - V_MIN_M_S) / math.log(V_MAX_M_S / V_MIN_M_S)
    grid = np.linspace(0, 1, 101)
    cdf = _radius_cdf(grid)
    for t_s in (0.0, 1800.0):
        speed = one.speeds_m_s(t_s)
        distance = np.hypot(*one.positions_m(t_s).T) / RADIUS_M
        text = f"random waypoint at {t_s:g} s"
        law = stats.loguniform(V_MIN_M_S, V_MAX_M_S)
        claims += [
            claim(
                f"{text}: mean speed", speed.mean(), mean_m_s, 5 * law.std() / n**0.5,
                unit="m/s", source=NAVIDI,
            ),
            claim(
                f"{text}: KS of speed", stats.kstest(speed, law.cdf).statistic, 0, threshold,
                unit="", source=NAVIDI,
            ),
            claim(
                f"{text}: KS of the distance from the middle",
                stats.kstest(distance, lambda r: np.interp(r, grid, cdf)).statistic, 0, threshold,
                unit="", source=HYYTIA,
            ),
        ]  # fmt: skip
    counts, edges = np.histogram(distance, bins=25, range=(0, 1))
    ring = np.pi * np.diff(edges**2)
    curves["radius"] = ((edges[:-1] + edges[1:]) / 2).tolist()
    curves["density"] = (counts / n / ring).tolist()
    curves["radius oracle"] = grid[1::4].tolist()
    curves["density oracle"] = (np.diff(cdf)[::4] / (np.pi * np.diff(grid**2)[::4])).tolist()


def _gauss_markov(claims: list[Any], curves: dict[str, Any], n: int) -> None:
    one = GaussMarkov(
        n, Rectangle(500.0, 500.0), np.random.default_rng(2), mean_speed_m_s=0.0,
        sigma_m_s=1.5, alpha=ALPHA, border="wrap",
    )  # fmt: skip
    first = one.velocities_m_s(0.0)[:, 0]
    curves["lag"] = list(range(21))
    curves["correlation"] = [
        float(np.corrcoef(first, one.velocities_m_s(float(k))[:, 0])[0, 1]) for k in range(21)
    ]
    curves["correlation oracle"] = [ALPHA**k for k in range(21)]
    source = "Liang and Haas 1999: alpha^k"
    claims += [
        claim(
            f"Gauss-Markov: correlation over {k} steps",
            curves["correlation"][k],
            ALPHA**k,
            5 / n**0.5,
            unit="",
            source=source,
        )
        for k in (1, 5, 10)
    ]
    spread_m_s = one.velocities_m_s(20.0)[:, 0].std()
    claims.append(
        claim(
            "Gauss-Markov: standard deviation after 20 steps", spread_m_s, 1.5, 5 * 1.5 / n**0.5,
            unit="m/s", source=source,
        )
    )  # fmt: skip


def _weibull(claims: list[Any], curves: dict[str, Any], n: int, threshold: float) -> None:
    one = WeibullOnOff(60.0, 1.0, np.random.default_rng(3), shape=SHAPE)
    up_s = np.empty(n)
    t_s = 0.0
    for row in range(n):
        up_s[row] = one.up_until_s(t_s) - t_s
        t_s = one.first_up_s(one.next_change_s(t_s))
    scale_s = 60.0 / math.gamma(1 + 1 / SHAPE)
    law = stats.weibull_min(SHAPE, scale=scale_s)
    claims += [
        claim(
            "Weibull up times: KS", stats.kstest(up_s, law.cdf).statistic, 0, threshold,
            unit="", source="exp(-(t / scale)^0.7)",
        ),
        claim(
            "Weibull up times: mean", up_s.mean(), 60.0, 5 * law.std() / n**0.5,
            unit="s", source="scale gamma(1 + 1 / 0.7)",
        ),
    ]  # fmt: skip
    grid_s = np.geomspace(0.1, 1000, 25)
    curves["up_s"] = grid_s.tolist()
    curves["up longer"] = [float((up_s > t).mean()) for t in grid_s]
    curves["up longer oracle"] = law.sf(grid_s).tolist()


def _day(claims: list[Any], curves: dict[str, Any], devices: int) -> None:
    up_s, down_s, days = 60.0, 1_800.0, 100
    counts = np.zeros(24)
    rng = np.random.default_rng(4)
    for _ in range(devices):
        one, t_s = Diurnal(up_s, down_s, rng, swing=SWING), 0.0
        while t_s < days * DAY_S:
            t_s = one.next_change_s(t_s)
            if one.is_up(t_s):
                counts[int(t_s % DAY_S // 3600)] += 1
    # Almost steady within an hour: coming up at the rate of the down, weighted by their share.
    per_s = (1 + SWING * np.sin(2 * np.pi * (np.arange(2_400) + 0.5) / 2_400)) / down_s
    oracle = (per_s / (1 + per_s * up_s)).reshape(24, -1).mean(axis=1) * 3600
    ours = counts / (devices * days)
    curves["hour"], curves["ups"] = list(range(24)), ours.tolist()
    curves["ups oracle"] = oracle.tolist()
    ratio, expected = ours[[5, 6]].mean() / ours[[17, 18]].mean(), oracle[5] / oracle[17]
    total = counts[[5, 6]].sum(), counts[[17, 18]].sum()
    claims.append(
        claim(
            "a day with swing 0.6: peak over low", ratio, expected,
            4 * ratio * math.sqrt(1 / total[0] + 1 / total[1]) + 0.02,
            unit="", source="oracles.md 2.13: lambda_on(t); 4 at the instant, for whole hours and"
            " up for 60 s a little less",
        )
    )  # fmt: skip


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw ours as lines and the closed forms as markers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = figures["curves"]
    picture, panels = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
    (density, memory), (up, day) = panels
    density.plot(curves["radius"], curves["density"], label="random waypoint, after 30 min")
    density.plot(curves["radius oracle"], curves["density oracle"], "kx", ms=5, label="Hyytiä 2006")
    density.axhline(1 / math.pi, color="0.7", lw=1, label="uniform")
    density.set(xlabel="distance from the middle / radius", ylabel="density (1 / radius²)")
    memory.plot(curves["lag"], curves["correlation"], label=r"Gauss-Markov, $\alpha$ = 0.8")
    memory.plot(curves["lag"], curves["correlation oracle"], "kx", ms=5, label=r"$\alpha^k$")
    memory.set(xlabel="lag k (steps)", ylabel="correlation of velocity")
    up.loglog(curves["up_s"], curves["up longer"], label="Weibull up times, shape 0.7")
    up.loglog(curves["up_s"], curves["up longer oracle"], "kx", ms=5, label="closed form")
    up.set(xlabel="t (s), mean 60 s", ylabel="P(up longer than t)", ylim=(1e-4, 1.5))
    day.plot(curves["hour"], curves["ups"], drawstyle="steps-mid", label="diurnal, swing 0.6")
    day.plot(curves["hour"], curves["ups oracle"], "kx", ms=5, label=r"$\lambda_\mathrm{on}(t)$")
    day.set(
        xlabel="hour after the phase", ylabel="times a device comes up per hour", ylim=(0, None)
    )
    for panel in panels.flat:
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8)
    picture.savefig(path)
    plt.close(picture)
