"""Memory and CPU time of a process and of all that it started, as Linux tells them.

    python benchmarks/pss.py COMMAND ...

Runs the command and prints, as JSON after its own output, the highest sum of proportional set
sizes (PSS: a page that n processes share counts 1/n in each, proc(5)) over the process
tree, sampled each half second. Other benchmarks use the functions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

EVERY_S = 0.5
PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)
"""What /proc answers of a process that ended meanwhile."""
PPID, CUTIME, CSTIME, STARTTIME = 1, 13, 14, 19
"""Fields of /proc/PID/stat, counted from the one after the command's name."""
CPUCLOCK_SCHED = 2
"""Of clock_getcpuclockid(3): the clock of all threads, ended ones too, to the nanosecond."""


@dataclass(frozen=True)
class Peak:
    """The moment at which a process tree took the most memory."""

    pss_mb: float
    processes: int
    samples: int


def _stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def tree(pid: int) -> list[int]:
    """Return ``pid`` and all its descendants that live, parents first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                parent = int(_stat(int(entry.name))[PPID])
            except GONE:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:  # it grows meanwhile
        found += children.get(each, [])
    return found


def pss_bytes(pids: Iterable[int]) -> int:
    """Sum of the proportional set sizes; a process that is gone counts nothing."""
    total_kb = 0
    for pid in pids:
        try:
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
        except GONE:
            continue
        # A process that ended and waits to be collected has no memory and an empty file.
        total_kb += sum(int(line.split()[1]) for line in rollup.splitlines() if "Pss:" in line)
    return total_kb * 1024


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of the processes, with those of their children that ended."""
    total_s = 0.0
    for pid in pids:
        try:
            total_s += time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
            fields = _stat(pid)
        except OSError:  # gone: the clock of no process is EINVAL
            continue
        total_s += (int(fields[CUTIME]) + int(fields[CSTIME])) / TICKS_PER_S
    return total_s


def age_s(pid: int) -> float:
    """Seconds since the process was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(_stat(pid)[STARTTIME]) / TICKS_PER_S


def watch(command: list[str], env: Mapping[str, str] | None = None) -> tuple[str, Peak]:
    """Run a command to its end; return what it printed and its peak.

    Raises CalledProcessError where it fails.
    """
    peak, samples = Peak(0.0, 0, 0), 0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, env=env, stdout=out)
        while True:
            pids = tree(process.pid)
            taken_mb, samples = pss_bytes(pids) / 1e6, samples + 1
            if taken_mb > peak.pss_mb:
                peak = Peak(taken_mb, len(pids), samples)
            try:
                code = process.wait(EVERY_S)
            except subprocess.TimeoutExpired:
                continue
            break
        out.seek(0)
        printed = out.read()
    if code:
        raise subprocess.CalledProcessError(code, command, printed)
    return printed, Peak(peak.pss_mb, peak.processes, samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    command = parser.parse_args().command
    if not command:
        parser.error("give the command to watch")
    printed, peak = watch(command)
    sys.stdout.write(printed)
    print(json.dumps(asdict(peak)))


if __name__ == "__main__":
    main()
