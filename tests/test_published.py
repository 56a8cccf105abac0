"""The protocols of the published experiments: partitions, nets, schedule, claims. No run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fd.data import load
from edge_fd.scenario import Scenario
from validation.published import cells, cfd, figure, har, jeong, summary
from validation.published.experiment import Cell, Line, Mark, Panel, Results, claim_of
from validation.published.partition import fedgen_partition

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("EDGE_FD_DATA", ROOT.parent / "shared" / "data")).resolve()
EXPERIMENTS = [cells.experiment_of(name) for name in cells.NAMES]


def need(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} at {DATA}; set EDGE_FD_DATA")
    monkeypatch.setenv("EDGE_FD_DATA", str(DATA))


# FedGen's partition.


def labels(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 10, count)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 1.0])
def test_a_partition_keeps_the_rules_of_the_authors_generator(alpha: float) -> None:
    y, test_y = labels(6_000, 1), labels(1_000, 2)
    part = fedgen_partition(y, test_y, alpha=alpha)
    assert len(set(part.train.tolist())) == len(part.train) == 10 * 150  # 0.5 * 6,000 / 20 a label
    assert np.bincount(y[part.train]).tolist() == [150] * 10
    assert np.bincount(part.user, minlength=20).min() >= 10
    # Each label's test images are cut into 20 parts, one for each holder of the label.
    for label in range(10):
        holders = len(set(part.user[y[part.train] == label].tolist()))
        rows = np.flatnonzero(test_y == label)
        mine = part.test[test_y[part.test] == label]
        assert mine.tolist() == rows[: holders * (len(rows) // 20)].tolist()


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_a_full_user_gets_nothing_of_later_labels(alpha: float) -> None:
    y = labels(6_000, 3)
    part = fedgen_partition(y, labels(1_000, 4), alpha=alpha)
    order = list(range(10))
    random.Random(42).shuffle(order)  # noqa: S311
    held, masked = np.zeros(20, int), 0
    for label in order:
        got = np.bincount(part.user[y[part.train] == label], minlength=20)
        assert not got[held >= 150].any()
        held += got
        masked += int((held >= 150).sum()) if label != order[-1] else 0
    assert masked > 0


def test_the_draws_are_those_of_generators_seeded_with_42() -> None:
    """The first label of the authors' script, by the generators that it uses: the global ones."""
    y = labels(6_000, 5)
    part = fedgen_partition(y, labels(1_000, 6), alpha=1.0)
    random.seed(42)
    np.random.seed(42)  # noqa: NPY002
    order = list(range(10))
    random.shuffle(order)
    rows = [row for row in range(6_000) if y[row] == order[0]]
    places = list(range(len(rows)))
    np.random.shuffle(places)  # noqa: NPY002
    shares = np.random.dirichlet(np.repeat(1.0, 20))  # noqa: NPY002
    ends = (np.cumsum(shares) * 150).astype(int)
    mine = {
        row: int(np.searchsorted(ends, i, "right"))
        for i, row in enumerate(rows[place] for place in places[:150])
    }
    first = y[part.train] == order[0]
    found = dict(zip(part.train[first].tolist(), part.user[first].tolist(), strict=True))
    assert found == mine


def test_of_mnist_15000_samples_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    need("mnist", monkeypatch)
    mnist = load("mnist")
    part = fedgen_partition(mnist.y, mnist.test_y, alpha=0.1)
    assert np.bincount(mnist.y[part.train]).tolist() == [1_500] * 10  # methods.md 3.11, trap 1
    # methods.md 3.11, trap 3: about 5,200 of the 10,000 test images.
    assert len(part.test) == pytest.approx(5_200, rel=0.05)


# Data files of the other protocols.


@pytest.mark.parametrize("split", har.SPLITS)
def test_parties_hold_twenty_of_each_of_their_classes(
    split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("uci_har", monkeypatch)
    har.data(Cell("har", "local", split, 1), tmp_path / "data.npz")
    found = np.load(tmp_path / "data.npz")
    for party in range(10):
        wanted = range(6) if split == "iid" else har.CLASSES[party]
        counts = np.bincount(found["y"][found["group"] == party], minlength=6)
        assert counts.tolist() == [20 if label in wanted else 0 for label in range(6)]
    rows = np.concatenate([found["x"], found["proxy_x"]])
    assert len(np.unique(rows, axis=0)) == len(rows) == len(found["x"]) + 100


@pytest.mark.parametrize("targets", jeong.TARGETS)
def test_of_target_labels_five_samples_are_left(
    targets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("mnist", monkeypatch)
    jeong.data(Cell("jeong", "fd", targets, 0), tmp_path / "data.npz")
    found = np.load(tmp_path / "data.npz")
    for device in range(2):
        counts = np.bincount(found["y"][found["group"] == device], minlength=10)
        assert (counts == 5).sum() == int(targets)
        # Others keep all of about 200: within five standard deviations of the binomial.
        assert np.abs(counts[counts > 5] - 200).max() < 5 * (2_000 * 0.1 * 0.9) ** 0.5


def test_the_nets_have_the_published_sizes() -> None:
    pytest.importorskip("torch", reason="students are built by torch, of the extra 'server'")
    from edge_fd import students

    def size(name: str, classes: int, *, vectors: bool = True) -> int:
        path = f"validation.published.students:{name}"
        net = students.build(path, (1, 28, 28), classes, seed=0)
        return sum(p.numel() for p in net.parameters() if vectors or p.ndim > 1)

    assert size("fedgen_cnn", 10) == 26_434  # methods.md 3.11
    assert size("fedgen_cnn", 26) == 26_962
    assert size("jeong_cnn", 10) == 1_199_882  # methods.md 3.2
    assert size("jeong_cnn", 10, vectors=False) == 1_199_648  # Jeong et al., without biases


# Experiments as they are declared.


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_every_cell_has_a_scenario_that_parses_and_a_file_of_its_own(experiment: Any) -> None:
    assert len({cells.path_of(cell) for cell in experiment.cells}) == len(experiment.cells)
    hashes = {cells.protocol_of(experiment, cell) for cell in experiment.cells}
    assert len(hashes) == len(experiment.cells)
    for cell in experiment.cells:
        for tree in (experiment.scenario(cell), cells.shortened(experiment.scenario(cell))):
            assert Scenario.parse(tree).seed == cell.seed


def invented(experiment: Any, accuracy: Any) -> Results:
    """Results of all cells with curves of two evaluations."""
    found = {}
    for cell in experiment.cells:
        value = accuracy(cell)
        found[cell] = {
            "curve": {"round": [1, 2], "accuracy": [0.1, value], "up_bytes": [10.0, 20.0]},
            "figures": {
                "accuracy": value,
                "best5": value,
                "up_payload_bytes": 20.0,
                "down_payload_bytes": 20.0,
            },
            "cpu_s": 1.0,
        }
    return Results(found)


@pytest.mark.parametrize("off", [-1.49, 1.49, -1.51, 1.51])
def test_fedgens_table_is_met_within_its_tolerance(off: float) -> None:
    experiment = cells.experiment_of("fedgen")
    table = {"0.05": 87.70, "0.1": 90.16, "1": 93.84}  # FedAvg, Zhu et al. 2021, Table 1
    results = invented(experiment, lambda cell: (table[cell.parameter] + off) / 100)
    verdicts = {claim.claim: claim.holds for claim in experiment.judge(results)}
    assert verdicts["fedavg, alpha = 1"] is (abs(off) < 1.5)
    assert verdicts["fedavg, alpha = 0.1"] is (abs(off) < 1.5)
    assert verdicts["fedavg, alpha = 0.05"] is True  # 1.6 * 2.07 = 3.31 points


@pytest.mark.parametrize("order", list(itertools.permutations(("local", "fedmd", "fedakd"))))
def test_only_the_published_ordering_holds(order: tuple[str, ...]) -> None:
    experiment = cells.experiment_of("har")
    step = {"iid": 0.02, "non-iid": 0.1}
    results = invented(
        experiment, lambda cell: 0.5 + step[cell.parameter] * order.index(cell.method)
    )
    verdicts = [claim.holds for claim in experiment.judge(results)]
    assert all(verdicts) is (order == ("local", "fedmd", "fedakd"))


def test_bytes_to_an_accuracy_are_those_of_the_first_evaluation_that_has_it() -> None:
    run = {"curve": {"up_bytes": [10, 20, 30], "accuracy": [0.3, 0.6, 0.5]}}
    assert [cfd.bytes_to(run, a) for a in (0.2, 0.5, 0.6, 0.7)] == [10, 20, 20, float("inf")]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_every_experiment_judges_draws_and_tells(experiment: Any, tmp_path: Path) -> None:
    results = invented(experiment, lambda _cell: 0.7)
    claims = experiment.judge(results)
    assert len({claim.claim for claim in claims}) == len(claims)
    for claim in claims:
        assert ("holds" in summary.tell(claim)) is claim.holds
    figure.draw(experiment.panels(results), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1_000
    assert {row["mean"] for row in summary.accuracies(experiment, results)} == {70.0}


# Results on disk.


def test_a_cell_is_finished_once_and_only_by_the_present_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "RESULTS", tmp_path)
    experiment = cells.experiment_of("jeong")
    cell = experiment.cells[0]
    result = {
        "experiment": "jeong",
        "cell": cell.name,
        "protocol": cells.protocol_of(experiment, cell),
    }
    assert cells.finished(experiment) == {}
    cells.keep(result)
    assert cells.finished(experiment) == {cell: result}
    other = dataclasses.replace(
        experiment, scenario=lambda c: {**experiment.scenario(c), "seed": 9}
    )
    assert cells.finished(other) == {}
    assert summary.claims_of(experiment) is None  # one of two cells


def test_a_complete_experiment_leaves_summary_picture_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cells, summary):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(summary, "PICTURES", tmp_path / "docs")
    experiment = cells.experiment_of("jeong")
    accuracy = {"2": 0.76, "5": 0.70}  # published: 0.7230
    for cell in experiment.cells:
        run = invented(experiment, lambda cell: accuracy[cell.parameter]).runs("fd", cell.parameter)
        facts = {"commit": "c", "dirty": False, "when": "now"}
        names = {"experiment": "jeong", "cell": cell.name}
        protocol = cells.protocol_of(experiment, cell)
        cells.keep({**run[0], **names, **facts, "protocol": protocol})
    claims = summary.claims_of(experiment)
    assert claims is not None
    summary.write(experiment, claims)
    told = json.loads((tmp_path / "jeong.json").read_text("utf-8"))
    assert [claim["holds"] for claim in told["claims"]] == [True, True, True]
    assert told["cpu_s"] == 2.0
    assert [cell["commit"] for cell in told["cells"]] == ["c", "c"]
    assert (tmp_path / "docs" / "jeong.svg").is_file()
    page = summary.page([experiment])
    assert "| fd, two devices, 2 target labels | 76.00 points | 0.00, 1 | 72.30 |" in page
    assert "| fd, 5 | 70.00 ± 0.00 |" in page


def test_a_claim_is_about_the_mean_and_tells_the_deviation() -> None:
    claim = claim_of(
        [1.0, 2.0, 6.0], claim="c", oracle=2.0, tolerance=1.0, unit="points", source="s"
    )
    assert (claim.ours, claim.seeds, claim.holds) == (3.0, 3, True)
    assert claim.sd == pytest.approx(7**0.5)  # (4 + 1 + 9) / 2
    assert not dataclasses.replace(claim, tolerance=0.99).holds
    assert dataclasses.replace(claim, relation="at least", tolerance=0.0).holds
    assert not dataclasses.replace(claim, relation="at least", oracle=3.1, tolerance=0.0).holds


def test_a_line_is_the_mean_of_its_seeds_in_a_picture(tmp_path: Path) -> None:
    line = Line("ours", [1.0, 2.0], [[10.0, 20.0], [30.0, 40.0]])
    figure.draw(
        [Panel("title", "round", [line], [Mark("ours", 2.0, 35.0, 1.0)])], tmp_path / "a.svg"
    )
    assert "svg" in (tmp_path / "a.svg").read_text("utf-8")
