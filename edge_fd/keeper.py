"""Where a real aggregator keeps its promises: the journal, and the outcome of each round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.student import State
from edge_fd import snapshot
from edge_fd.journal import Journal
from edge_fd.knowledge import Fused, Knowledge
from edge_fd.outcome import Outcome
from edge_fd.rounds import Entry

OUTCOME = "server.state"
JOURNAL = "journal.log"


class FileKeeper:
    """Journal and outcome in the run folder; ``journal`` must be open."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._path, self._journal = folder / OUTCOME, journal

    def append(self, entry: Entry) -> None:
        """Write the entry; it is on disk when this returns."""
        self._journal.append(entry)

    def keep(self, outcome: Outcome) -> None:
        """Write fused knowledge, weights and memory in one atomic file."""
        arrays: dict[str, npt.NDArray[Any]] = {
            f"memory/{key}": array for key, array in outcome.memory.items()
        }
        states = outcome.states if outcome.state is None else {"": outcome.state, **outcome.states}
        for name, state in states.items():
            arrays |= {f"theta/{name}": state.theta, f"opt/{name}": state.opt}
        pieces = {"": outcome.fused.shared, **outcome.fused.each}
        kinds = {name: piece.kind for name, piece in pieces.items() if piece is not None}
        for name, piece in pieces.items():
            if piece is not None:
                arrays[f"value/{name}"] = piece.value
                arrays |= {f"exact/{name}/{key}": array for key, array in piece.exact.items()}
        snapshot.save(self._path, arrays, {"round": outcome.round, "kinds": kinds})


def load_outcome(folder: Path) -> Outcome | None:
    """Return the outcome that an earlier life kept, None where there is none."""
    found = snapshot.load(folder / OUTCOME)
    if found is None:
        return None
    arrays, values = found
    pieces = {
        name: Knowledge(kind, arrays[f"value/{name}"], _below(arrays, f"exact/{name}/"))
        for name, kind in values["kinds"].items()
    }
    fused = Fused(pieces.pop("", None), pieces)
    opts = _below(arrays, "opt/")
    states = {name: State(t, opts[name]) for name, t in _below(arrays, "theta/").items()}
    state = states.pop("", None)
    return Outcome(values["round"], fused, state, _below(arrays, "memory/"), states)


def _below(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {k.removeprefix(prefix): np.array(a) for k, a in arrays.items() if k.startswith(prefix)}
