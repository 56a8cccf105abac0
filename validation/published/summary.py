"""What the finished cells of an experiment come to: claims, a summary file, a picture, a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.run import facts
from validation.published.cells import RESULTS, finished
from validation.published.experiment import Claim, Experiment, Results, Tree
from validation.published.figure import draw

PICTURES = Path(__file__).parents[2] / "docs" / "published"
SOME = ("cell", "commit", "dirty", "when", "cpu_s")


def claims_of(experiment: Experiment) -> list[Claim] | None:
    """Return the claims on the finished cells, None while some are missing."""
    found = finished(experiment)
    if len(found) < len(experiment.cells):
        return None
    return experiment.judge(Results(found))


def write(experiment: Experiment, claims: list[Claim]) -> None:
    """Write the summary and the picture of a complete experiment."""
    found = finished(experiment)
    results = Results(found)
    summary = {
        "experiment": experiment.name,
        "title": experiment.title,
        "command": f"python -m validation.run published --only {experiment.name}",
        "claims": [claim.record() for claim in claims],
        "accuracies": accuracies(experiment, results),
        "notes": experiment.notes(results),
        "cells": [{key: result[key] for key in SOME} for result in found.values()],
        "cpu_s": round(sum(result["cpu_s"] for result in found.values()), 1),
        **facts(),
    }
    (RESULTS / f"{experiment.name}.json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(experiment.panels(results), PICTURES / f"{experiment.name}.svg")


def accuracies(experiment: Experiment, results: Results) -> list[Tree]:
    """Return mean and deviation over the seeds of each method and parameter, in points.

    ``best5`` are the five best evaluations of each run, chosen by the test data.
    """
    rows = []
    for method, parameter in dict.fromkeys((c.method, c.parameter) for c in experiment.cells):
        points = results.points(method, parameter)
        runs = results.runs(method, parameter)
        rows.append(
            {
                "method": method,
                "parameter": parameter,
                "mean": round(statistics.fmean(points), 3),
                "sd": round(statistics.stdev(points), 3) if len(points) > 1 else 0.0,
                "best5": round(100 * statistics.fmean(r["figures"]["best5"] for r in runs), 3),
                "up_payload_bytes": statistics.fmean(
                    r["figures"]["up_payload_bytes"] for r in runs
                ),
            }
        )
    return rows


def tell(claim: Claim) -> str:
    """Return a claim and its verdict in one line."""
    verdict = "holds" if claim.holds else "FAILS"
    relation = "at least" if claim.relation == "at least" else "against"
    return (
        f"{verdict} {claim.claim}: {claim.ours:.6g} (sd {claim.sd:.3g}, n {claim.seeds})"
        f" {relation} {claim.oracle:.6g} ± {claim.tolerance:.3g} {claim.unit}"
    )


def page(experiments: Sequence[Experiment]) -> str:
    """Return all claims, accuracies and notes as a page of Markdown."""
    text = ["# Published results: what holds", ""]
    text += ["Written by `make validate`; the protocols are [here](../published.md).", ""]
    for experiment in experiments:
        text += [f"## {experiment.name}: {experiment.title}", ""]
        claims = claims_of(experiment)
        if claims is None:
            done = len(finished(experiment))
            text += [f"Not complete: {done} of {len(experiment.cells)} cells were run.", ""]
        else:
            text += [*_told(experiment, claims), f"![accuracies]({experiment.name}.svg)", ""]
    return "\n".join(text)


def _told(experiment: Experiment, claims: Sequence[Claim]) -> list[str]:
    results = Results(finished(experiment))
    rows = [
        (
            claim.claim,
            f"{claim.ours:.2f} {claim.unit}",
            f"{claim.sd:.2f}, {claim.seeds}",
            f"{'≥ ' if claim.relation == 'at least' else ''}{claim.oracle:.2f}",
            f"{claim.tolerance:.2f}",
            "yes" if claim.holds else "**no**",
        )
        for claim in claims
    ]
    text = _table(("claim", "ours", "sd, seeds", "published or bound", "tolerance", "holds"), rows)
    runs = [
        (
            f"{row['method']}, {row['parameter']}",
            f"{row['mean']:.2f} ± {row['sd']:.2f}",
            f"{row['best5']:.2f}",
            f"{row['up_payload_bytes']:,.0f}",
        )
        for row in accuracies(experiment, results)
    ]
    text += _table(("run", "accuracy (%)", "best five", "payload bytes up, all devices"), runs)
    text += [f"* {note}" for note in experiment.notes(results)]
    return [*text, ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines] + [""]
