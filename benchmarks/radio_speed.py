"""How fast the radio layer is: devices per CPU second, and against naive SimPy in one run.

    python benchmarks/radio_speed.py

Lock step: 100,000 and 1,000,000 devices that send five Wi-Fi frames each, 1,000,000 LoRa
messages. Calendar: one SimPy process per cell against one SimPy process per station (below,
the way it is usually written), frames per CPU second side by side; one process per device
for 10,000 devices; events per second against a bare SimPy loop. Cost against the number of
devices, and memory per device.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from matplotlib.figure import Figure

from channel_sim import Fingerprint, MediumProcess, to_ns
from channel_sim.lora import EIGHT_CHANNELS_HZ, Lorawan
from channel_sim.wifi import Wifi

STATION_DBM = 60.0
"""Loss in dB at which every mode gets through: what is timed is contention."""
FRAME_BYTES = 1500
# 802.11a, 54 Mbit/s, 1536 B on air, as in channel_sim.wifi: computed here on its own.
SLOT_S, SIFS_S, DIFS_S = 9e-6, 16e-6, 34e-6
DATA_S = 20e-6 + 4e-6 * -(-(22 + 8 * 1536) // 216)
ACK_S = 28e-6


def wifi() -> Wifi:
    return Wifi(standard="a", mode=7, ampdu_bytes=0, on_loss="continue")


def cpu_s(task: Callable[[], object]) -> float:
    begun_s = time.process_time()
    task()
    return time.process_time() - begun_s


def burst_wifi(devices: int, per_cell: int, frames: int) -> dict[str, Any]:
    losses_db = np.full(devices, STATION_DBM)
    sizes = np.full(devices, frames * FRAME_BYTES)
    ready_ns = np.zeros(devices, np.int64)
    cells = np.arange(devices) // per_cell
    found: list[Any] = []

    def go() -> None:
        rng = np.random.default_rng(1)
        found.append(wifi().burst(losses_db, sizes, ready_ns, cells=cells, rng=rng))

    seconds = cpu_s(go)
    outcomes = found[0]
    return {
        "devices": devices,
        "per_cell": per_cell,
        "frames_each": frames,
        "cpu_s": round(seconds, 3),
        "devices_per_cpu_s": round(devices / seconds),
        "frames_sent": int(outcomes.attempts.sum()),
        "delivered": round(float(outcomes.delivered.mean()), 4),
    }


def burst_lora(devices: int, rule: str) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    losses_db = rng.uniform(90.0, 135.0, devices)
    sizes = np.full(devices, 20)
    ready_ns = np.floor(rng.random(devices) * 3600e9).astype(np.int64)
    cells = np.zeros(devices, np.int64)
    found: list[Any] = []
    seconds = cpu_s(
        lambda: found.append(
            Lorawan(interference=rule, channels_hz=EIGHT_CHANNELS_HZ).burst(
                losses_db, sizes, ready_ns, cells=cells, rng=np.random.default_rng(3)
            )
        )
    )
    return {
        "messages": devices,
        "interference": rule,
        "window_s": 3600,
        "cpu_s": round(seconds, 3),
        "messages_per_cpu_s": round(devices / seconds),
        "delivered": round(float(found[0].delivered.mean()), 4),
    }


def one_process_per_cell(stations: int, frames: int) -> tuple[float, int]:
    """CPU seconds and frames on air of our calendar under SimPy."""
    env = simpy.Environment()
    names = [str(row) for row in range(stations)]
    medium = wifi().medium(dict.fromkeys(names, STATION_DBM), rng=np.random.default_rng(1))
    process = MediumProcess(env, medium)
    events = [process.send(name, frames * FRAME_BYTES) for name in names]
    seconds = cpu_s(env.run)
    return seconds, sum(event.value.attempts for event in events)


def one_process_per_station(stations: int, frames: int) -> tuple[float, int]:
    """The same cell as it is usually written: every station interrupts the others' countdown."""
    env, rng = simpy.Environment(), np.random.default_rng(1)
    counting: dict[int, simpy.Process] = {}
    on_air: list[int] = []
    sent = 0

    def station(me: int) -> Generator[Any, Any, None]:
        nonlocal sent
        left, window, tries = frames, 16, 0
        slots = int(rng.integers(window))
        idle_from_s = DIFS_S
        while left:
            begun_s = max(env.now, idle_from_s)
            counting[me] = env.active_process
            try:
                yield env.timeout(begun_s + slots * SLOT_S - env.now)
            except simpy.Interrupt as cause:
                # Whoever reaches zero in the same slot still sends: it cannot hear that soon.
                done = round((env.now - begun_s) / SLOT_S)
                if done < slots:
                    slots -= max(done, 0)
                    idle_from_s = cause.cause
                    yield env.timeout(idle_from_s - env.now)
                    continue
            counting.pop(me, None)
            sent += 1
            on_air.append(me)
            yield env.timeout(SLOT_S / 10)  # all of this slot are now on air
            alone = len(on_air) == 1
            busy_s = DATA_S + (SIFS_S + ACK_S if alone else 0.0) + DIFS_S
            ends_s = env.now - SLOT_S / 10 + busy_s
            for other in list(counting):
                counting.pop(other).interrupt(ends_s)
            yield env.timeout(ends_s - env.now)
            on_air.remove(me)
            tries = 0 if alone else tries + 1
            window = 16 if alone or tries == 7 else min(2 * window, 1024)
            if alone or tries == 7:
                left, tries = left - 1, 0
            slots, idle_from_s = int(rng.integers(window)), env.now

    for row in range(stations):
        env.process(station(row))
    seconds = cpu_s(env.run)
    return seconds, sent


def process_per_device(devices: int, per_cell: int) -> dict[str, Any]:
    """A round in SimPy: each device is a process that computes, sends and hears of the end."""
    env, rng = simpy.Environment(), np.random.default_rng(4)
    finished: list[float] = []

    def device(medium: MediumProcess, name: str, compute_s: float) -> Generator[Any, Any, None]:
        yield env.timeout(compute_s)
        delivery = yield medium.send(name, 1000)
        finished.append(delivery.finish_s)

    def go() -> None:
        for first in range(0, devices, per_cell):
            names = [str(row) for row in range(first, first + per_cell)]
            losses_db = dict.fromkeys(names, STATION_DBM)
            medium = MediumProcess(env, wifi().medium(losses_db, rng=np.random.default_rng(first)))
            for name in names:
                env.process(device(medium, name, float(rng.random())))
        env.run()

    seconds = cpu_s(go)
    return {"devices": len(finished), "per_cell": per_cell, "cpu_s": round(seconds, 3)}


def bare_simpy(events: int) -> float:
    """CPU seconds of a SimPy process that only waits."""
    env = simpy.Environment()

    def wait() -> Generator[Any, Any, None]:
        for _ in range(events):
            yield env.timeout(1.0)

    env.process(wait())
    return cpu_s(env.run)


def events_per_second() -> dict[str, Any]:
    names = [str(row) for row in range(10)]
    medium = wifi().medium(dict.fromkeys(names, STATION_DBM), rng=np.random.default_rng(1))
    medium.trace = fingerprint = Fingerprint()
    for name in names:
        medium.submit(name, 2000 * FRAME_BYTES, to_ns(0.0))
    medium.advance(None)
    events = fingerprint.events
    fresh = wifi().medium(dict.fromkeys(names, STATION_DBM), rng=np.random.default_rng(1))
    for name in names:
        fresh.submit(name, 2000 * FRAME_BYTES, to_ns(0.0))
    ours_s = cpu_s(lambda: fresh.advance(None))
    bare_s = bare_simpy(events)
    return {
        "events": events,
        "calendar_per_cpu_s": round(events / ours_s),
        "bare_simpy_per_cpu_s": round(events / bare_s),
        "ratio": round(bare_s / ours_s, 3),
    }


def against_stations() -> list[dict[str, Any]]:
    rows = []
    for stations, frames in ((1, 400), (10, 100), (50, 30), (100, 10)):
        cell_s, cell_frames = one_process_per_cell(stations, frames)
        station_s, station_frames = one_process_per_station(stations, frames)
        rows.append(
            {
                "stations": stations,
                "cell_frames_per_cpu_s": round(cell_frames / cell_s),
                "station_frames_per_cpu_s": round(station_frames / station_s),
                "ratio": round((cell_frames / cell_s) / (station_frames / station_s), 1),
            }
        )
    return rows


def memory_per_device(devices: int) -> float:
    """Peak bytes per device of the lock-step engine beyond what its inputs take."""
    tracemalloc.start()
    burst_wifi(devices, 10, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / devices


def million() -> None:
    """Run on its own, for its peak memory is a figure."""
    result = burst_wifi(1_000_000, 50, 5)
    result["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def draw(scaling: list[dict[str, Any]], path: Path) -> None:
    """Cost against the number of devices; a straight line at slope 1 is proportional."""
    devices = np.array([row["devices"] for row in scaling])
    seconds = np.array([row["cpu_s"] for row in scaling])
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.loglog(devices, seconds, "o-", label="Wi-Fi, 5 frames each, 10 per cell")
    last = seconds[-1] * devices * np.log(devices) / (devices[-1] * np.log(devices[-1]))
    axis.loglog(devices, last, "k:", label="n log n")
    axis.set(xlabel="devices", ylabel="CPU seconds of a round")
    axis.grid(visible=True, which="both", alpha=0.3)
    axis.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    burst_wifi(1000, 10, 5)  # imports and first calls are not counted
    burst_lora(1000, "capture_6db")
    done = subprocess.run(
        [sys.executable, __file__, "million"], check=True, capture_output=True, text=True
    )
    scaling = [burst_wifi(10**k, 10, 5) for k in (2, 3, 4, 5, 6)]
    draw(scaling, Path(__file__).parent / "results" / "radio_speed.svg")
    print(
        json.dumps(
            {
                "wifi_100k": burst_wifi(100_000, 10, 5),
                "wifi_1m": json.loads(done.stdout),
                "lora_1m": burst_lora(1_000_000, "capture_6db"),
                "lora_1m_isolation_matrix": burst_lora(1_000_000, "goursaud"),
                "process_per_device": process_per_device(10_000, 10),
                "against_stations": against_stations(),
                "events": events_per_second(),
                "scaling": scaling,
                "bytes_per_device": round(memory_per_device(100_000)),
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["million"]:
        million()
    else:
        main()
