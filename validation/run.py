"""Runs the validations: JSON to ``results``, pictures to ``docs``.

    python -m validation.run [NAME ...] [--quick]
    python -m validation.run published [--only EXPERIMENT] [--jobs N] [--list] [--quick]

Each module here compares one family of the radio layer with oracles that our
code did not make and returns its claims; one whose data are absent is skipped,
told. ``published`` compares whole runs with published results: CPU-hours the
first time, afterwards only what is missing is run. Added to the claims:
command, commit, machine. A claim that does not hold is told and makes the exit
status 1. ``--quick`` takes shorter runs, to see that all works, and writes
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.run import facts
from validation.published import run as published

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PICTURES = HERE.parent / "docs" / "channel"
RADIO = tuple(sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run"))
NAMES = (*RADIO, "published")


def validate(name: str, *, quick: bool) -> bool:
    """Run one validation; return whether all its claims hold."""
    module, about = import_module(f"validation.{name}"), facts()
    begun_s, cpu_s = time.monotonic(), time.process_time()
    try:
        figures: dict[str, Any] = module.figures(quick=quick)
    except SystemExit as reason:
        print(f"{name:13} SKIPPED: {reason}")
        return True
    result = {
        "validation": name,
        "command": f"python -m validation.run {name}",
        **figures,
        **about,
        "load_after": os.getloadavg(),
        "took_s": round(time.monotonic() - begun_s, 1),
        "cpu_s": round(time.process_time() - cpu_s, 1),
    }
    for claim in figures["claims"]:
        verdict = "holds" if claim["holds"] else "FAILS"
        print(
            f"{name:13} {verdict} {claim['claim']}: {claim['ours']:.6g} against"
            f" {claim['oracle']:.6g} ± {claim['tolerance']:.3g} {claim['unit']}"
        )
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        module.draw(figures, PICTURES / f"{name}.svg")
    return all(claim["holds"] for claim in figures["claims"])


def main() -> int:
    """Run what the command line names, everything without names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="shorter runs, nothing written")
    parser.add_argument("--only", choices=published.NAMES, help="one experiment of 'published'")
    parser.add_argument("--jobs", type=int, default=1, help="cells of 'published' run at once")
    parser.add_argument("--list", action="store_true", help="the cells of 'published', run or not")
    options = parser.parse_args()
    for name in options.name:
        if name not in NAMES:
            parser.error(f"no validation {name!r}; there are: {', '.join(NAMES)}")
    if options.list:
        published.list_cells(options.only)
        return 0
    failed = [name for name in options.name or NAMES if not _holds(name, options)]
    print(f"claims that fail in: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _holds(name: str, options: argparse.Namespace) -> bool:
    if name == "published":
        return published.validate(options.only, jobs=options.jobs, quick=options.quick)
    return validate(name, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
