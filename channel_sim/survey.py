"""Planning: what one link does over distance, and what a crowd does that answers together.

    preset = load_preset("zigbee")
    link = survey_link(preset, [1, 10, 100], 400)
    crowd = survey_crowd(preset, 50, 400, max_m=30)

The link is worked out by formula; the crowd is simulated frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channel_sim.checks import check_count, check_not_negative, check_positive
from channel_sim.family import LinkPlan
from channel_sim.medium import Reason
from channel_sim.outcomes import Outcomes
from channel_sim.presets import Preset
from channel_sim.units import SECOND_NS

MESSAGES = 2_000
"""A survey repeats the round of a crowd until about so many messages were sent."""


@dataclass(frozen=True, kw_only=True)
class CrowdSurvey:
    """What becomes of the messages of ``devices`` devices; mean over ``rounds`` rounds.

    Each round has its own places, shadowing and random numbers. ``delivered``
    and ``lost`` by reason are shares of the messages offered and add up to 1.
    Times are seconds from the announcement: ``first_s`` and ``last_s`` the
    mean over rounds of the first and the last delivery, ``median_s`` and
    ``p95_s`` of all deliveries; NaN where nothing was delivered. ``energy_j``
    is the mean per message offered.
    """

    devices: int
    jitter_s: float
    rounds: int
    delivered: float
    lost: dict[Reason, float]
    first_s: float
    median_s: float
    p95_s: float
    last_s: float
    attempts: float
    energy_j: float


def survey_link(preset: Preset, distances_m: npt.ArrayLike, size_bytes: int) -> LinkPlan:
    """Plan one message up over each distance, without shadowing, nobody else there.

    Raises ValueError for a distance or a size that the models refuse.
    """
    check_positive("distance_m", distances_m)
    losses_db = preset.propagation.mean_loss_db(np.asarray(distances_m, dtype=np.float64))
    return preset.family.plan(losses_db, size_bytes, fading=preset.propagation.fading)


def survey_crowd(
    preset: Preset,
    devices: int,
    size_bytes: int,
    *,
    min_m: float = 1.0,
    max_m: float,
    jitter_s: float = 0.0,
    seed: int = 0,
    rounds: int | None = None,
) -> CrowdSurvey:
    """Let ``devices`` devices of one cell answer one announcement, and count what happens.

    They lie uniformly in the ring from ``min_m`` to ``max_m`` around the
    station and start at the same instant, or uniformly spread over
    ``jitter_s``. ``rounds`` None: as many as make about 2,000 messages, at
    least 5. Raises ValueError for numbers that make no crowd.
    """
    check_count("devices", devices)
    check_positive("min_m", min_m)
    if not min_m < max_m:
        raise ValueError(f"max_m = {max_m!r} must be above min_m = {min_m!r}")
    check_not_negative("jitter_s", jitter_s)
    if rounds is None:
        rounds = max(5, MESSAGES // devices)
    check_count("rounds", rounds)
    places, physics, starts, contention = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)
    )
    total = devices * rounds
    area = max_m**2 - min_m**2
    distances_m = np.sqrt(min_m**2 + area * places.random(total))
    outcomes = preset.family.burst(
        preset.propagation.losses(distances_m, rng=physics).loss_db,
        np.full(total, size_bytes, dtype=np.int64),
        np.floor(starts.random(total) * jitter_s * SECOND_NS).astype(np.int64),
        cells=np.repeat(np.arange(rounds), devices),
        rng=contention,
        blocks=preset.propagation.blocks(rng=physics),
    )
    return _summary(preset, outcomes, devices, rounds, jitter_s)


def _summary(
    preset: Preset, outcomes: Outcomes, devices: int, rounds: int, jitter_s: float
) -> CrowdSurvey:
    total = len(outcomes)
    counts = outcomes.counts()
    delivered = counts.pop("delivered")
    finish_s = np.where(outcomes.delivered, outcomes.finish_ns / SECOND_NS, np.nan)
    by_round = finish_s.reshape(rounds, devices)
    by_round = by_round[~np.isnan(by_round).all(axis=1)]
    if delivered:
        first_s = float(np.nanmin(by_round, axis=1).mean())
        last_s = float(np.nanmax(by_round, axis=1).mean())
        median_s, p95_s = np.nanpercentile(finish_s, [50, 95]).tolist()
    else:
        first_s = last_s = median_s = p95_s = float("nan")
    return CrowdSurvey(
        devices=devices,
        jitter_s=jitter_s,
        rounds=rounds,
        delivered=delivered / total,
        lost={reason: count / total for reason, count in counts.items() if count},
        first_s=first_s,
        median_s=median_s,
        p95_s=p95_s,
        last_s=last_s,
        attempts=float(outcomes.attempts.mean()),
        energy_j=float(outcomes.energy_j(preset.family.radio).mean()),
    )
