"""The aggregator's files: what a fusion made is there after a restart, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices.student import State
from edge_fd.journal import Journal
from edge_fd.keeper import JOURNAL, FileKeeper, load_outcome
from edge_fd.knowledge import Fused, Knowledge
from edge_fd.outcome import Outcome

RNG = np.random.default_rng(3)


def probs(*, indices: bool = False) -> Knowledge:
    exact = {"indices": np.array([3, 200, 7], np.uint8)} if indices else {}
    return Knowledge("probs", RNG.random((3, 4), np.float32), exact)


def table() -> Knowledge:
    return Knowledge(
        "label_table",
        RNG.random((4, 4), np.float32),
        {"counts": np.array([1, 0, 2, 300], np.uint16)},
    )


STATE = State(RNG.random(5, np.float32), RNG.random(5, np.float32))
OUTCOMES = {
    "nothing": Outcome(1, Fused(), None, {}),
    "shared": Outcome(2, Fused(probs(indices=True)), None, {}),
    "each": Outcome(3, Fused(each={"a": table(), "b.c-d": table()}), None, {}),
    "both": Outcome(4, Fused(probs(), {"a": probs(indices=True)}), None, {}),
    "student": Outcome(5, Fused(probs()), STATE, {}),
    "memory": Outcome(6, Fused(probs()), STATE, {"seen": np.arange(3), "n": np.array(2.5)}),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=list(OUTCOMES))
def test_an_outcome_survives(tmp_path: Path, outcome: Outcome) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        FileKeeper(tmp_path, journal).keep(outcome)
    found = load_outcome(tmp_path)
    assert found is not None
    assert found.round == outcome.round
    assert found.fused.canonical() == outcome.fused.canonical()
    assert list(found.fused.each) == list(outcome.fused.each)
    assert (found.state is None) == (outcome.state is None)
    if found.state is not None and outcome.state is not None:
        np.testing.assert_array_equal(found.state.theta, outcome.state.theta)
        np.testing.assert_array_equal(found.state.opt, outcome.state.opt)
    assert list(found.memory) == list(outcome.memory)
    for name, array in outcome.memory.items():
        assert (found.memory[name].dtype, found.memory[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found.memory[name], array)


def test_the_last_outcome_stands(tmp_path: Path) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        keeper = FileKeeper(tmp_path, journal)
        for outcome in OUTCOMES.values():
            keeper.keep(outcome)
    found = load_outcome(tmp_path)
    assert found is not None
    assert found.round == 6


def test_before_the_first_fusion_there_is_none(tmp_path: Path) -> None:
    assert load_outcome(tmp_path) is None


def test_entries_go_into_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / JOURNAL) as journal:
        FileKeeper(tmp_path, journal).append(("open", 1, "", b""))
    with Journal(tmp_path / JOURNAL) as journal:
        assert journal.entries == [("open", 1, "", b"")]
