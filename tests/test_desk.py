"""The desk: requests answered with a student, purely, and refused before anything is computed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the student is made with torch, of the extra 'server'")

from devices.preprocess import Preprocess
from devices.student import State, Student
from edge_fd import students
from edge_fd.desk import Desk, Job
from edge_fd.errors import TargetError
from edge_fd.exporter import export_bundle
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION
from edge_fd.requests import Load, Predict, Read, Request, Samples, Train, one_hot

LOSSES = {"local": CROSS_ENTROPY, "distil": LABEL_DISTILLATION}
SAMPLES = Samples(np.arange(33, dtype=np.uint8).reshape(11, 3), np.arange(11) % 3)
Y = one_hot(SAMPLES.labels, 3)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    bundle = export_bundle(
        tmp_path_factory.mktemp("desk") / "mlp.efdb",
        "mlp",
        LOSSES,
        module=students.build("mlp", (3,), 3, seed=2),
        input_shape=(3,),
        classes=3,
        preprocess=Preprocess(1 / 32, -0.5, (3,)),
        method={},
        lr=0.05,
        momentum=0.9,
        batch=4,
    )
    return Desk(Student(bundle), LOSSES)


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


class Watched:
    """A student that must not be asked to train."""

    def __init__(self, student: Student) -> None:
        self.bundle, self.initial, self.asked = student.bundle, student.initial, 0

    def train(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        raise AssertionError("computed with targets that are no distributions")


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        ("local", {"y": Y * 1.01}),
        ("local", {"y": Y + np.float32([0.5, -0.5, 0])}),
        ("distil", {"y": Y, "table": np.full((3, 3), 0.3), "gamma": 1.0}),
    ],
)
def test_bad_targets_are_refused_before_anything_is_computed(
    desk: Desk, loss: str, inputs: dict[str, Any]
) -> None:
    watched = Watched(desk.student)
    request = Train(loss, SAMPLES, inputs, epochs=1)

    def half() -> Generator[Request, Any, str]:
        yield request
        return "over"

    draws, start = rng(), desk.student.initial
    before = draws.bit_generator.state
    job = Job(half(), Desk(watched, LOSSES), start, draws)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="must be 0 or more and sum to one"):
        job.run()
    assert watched.asked == 0
    assert job.state is start
    assert job.request is request
    assert job.result is None
    assert draws.bit_generator.state == before


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 11),
    batch=st.one_of(st.none(), st.integers(1, 12)),
    passes=st.integers(1, 3),
    steps=st.one_of(st.none(), st.integers(1, 9)),
)
def test_the_work_told_is_the_work_done(
    desk: Desk, n: int, batch: int | None, passes: int, steps: int | None
) -> None:
    samples = SAMPLES.take(np.arange(n))
    epochs = None if steps else passes
    request = Train(
        "local", samples, {"y": Y[:n]}, epochs=epochs, steps=steps, batch=batch, outputs=True
    )
    told = desk.work(request)
    trained, _ = desk.answer(request, desk.student.initial, rng())
    assert told.steps == trained.steps
    assert told.trained == len(trained.index) == len(trained.logits)
    assert told.predicted == 0


def test_predictions_are_work_and_weights_are_not(desk: Desk) -> None:
    assert desk.work(Predict(SAMPLES)).predicted == 11
    for request in (Read(), Load(desk.student.initial.theta)):
        assert desk.work(request) == type(desk.work(request))()


def test_answers_change_nothing_but_what_they_return(desk: Desk) -> None:
    start = desk.student.initial
    theta = start.theta.copy()
    request = Train("local", SAMPLES, {"y": Y}, epochs=2)
    one, after = desk.answer(request, start, rng())
    two, again = desk.answer(request, start, rng())
    np.testing.assert_array_equal(start.theta, theta)
    assert one == two
    np.testing.assert_array_equal(after.theta, again.theta)
    assert not np.array_equal(after.theta, theta)


def test_samples_are_preprocessed_and_probabilities_are_those_of_the_logits(desk: Desk) -> None:
    start = desk.student.initial
    logits, _ = desk.answer(Predict(SAMPLES), start, rng())
    module = students.build("mlp", (3,), 3, seed=2)
    import torch

    x = torch.tensor(SAMPLES.x / 32 - 0.5, dtype=torch.float32)
    theirs = module(x).detach()
    np.testing.assert_allclose(logits, theirs.numpy(), atol=1e-6)
    probs, state = desk.answer(Predict(SAMPLES, "probs"), start, rng())
    np.testing.assert_allclose(probs, torch.softmax(theirs, -1).numpy(), atol=1e-6)
    assert probs.dtype == np.float32
    assert state is start


def test_weights_that_are_loaded_are_read_and_start_without_momentum(desk: Desk) -> None:
    start = desk.student.initial
    theta = (start.theta * 2).astype(np.float32)
    old = State(start.theta, np.ones_like(start.theta))
    answer, state = desk.answer(Load(theta), old, rng())
    assert answer is None
    assert not state.opt.any()
    read, _ = desk.answer(Read(), state, rng())
    np.testing.assert_array_equal(read, theta)


def test_a_request_may_name_its_own_rate_and_batch(desk: Desk) -> None:
    start = desk.student.initial

    def moved(**changes: Any) -> float:
        request = Train("local", SAMPLES, {"y": Y}, steps=1, batch=11, **changes)
        _, state = desk.answer(request, start, rng())
        return float(np.linalg.norm(state.theta - start.theta))

    # One step of SGD on the whole set: the way is the rate times the gradient.
    assert moved(lr=0.1) == pytest.approx(2 * moved(), rel=1e-3)


def test_a_job_goes_through_its_requests_and_keeps_the_last_loss(desk: Desk) -> None:
    heard: list[Any] = []

    def half() -> Generator[Request, Any, str]:
        heard.append((yield Train("local", SAMPLES, {"y": Y}, epochs=1)))
        heard.append((yield Read()))
        return "done"

    job = Job(half(), desk, desk.student.initial, rng())
    assert job.work.trained == 11
    assert job.loss is None
    job.answer()
    assert job.loss == heard[0].loss
    assert job.work.trained == 0
    job.answer()
    assert job.state is not None
    np.testing.assert_array_equal(heard[1], job.state.theta)
    assert (job.request, job.result) == (None, "done")
    with pytest.raises(RuntimeError, match="over"):
        job.answer()


def test_without_a_desk_a_half_that_asks_cannot_go_on() -> None:
    def half() -> Generator[Request, Any, None]:
        yield Read()

    job = Job(half(), None, None, rng())
    with pytest.raises(RuntimeError, match="nobody here can answer Read"):
        job.run()


def test_what_is_no_request_is_refused(desk: Desk) -> None:
    with pytest.raises(TypeError, match="may not yield 'train'"):
        desk.answer("train", desk.student.initial, rng())  # type: ignore[arg-type]


def test_the_default_rate_decays_with_the_rounds_and_a_request_s_own_does_not(desk: Desk) -> None:
    """FedGen's rate is 0.01 * 0.99 ** round (author code): closed form, no state between rounds."""
    plain = desk.student.bundle
    bundle = replace(plain, training=replace(plain.training, lr_decay=0.5))
    slow = Desk(Student(bundle), LOSSES)
    request = Train("local", SAMPLES, {"y": Y}, epochs=1)
    start = desk.student.initial
    for number in (1, 2, 4):
        own = replace(request, lr=plain.training.lr * 0.5 ** (number - 1))
        _, due = desk.answer(own, start, rng())
        for asked in (request, own):
            _, found = slow.answer(asked, start, rng(), round=number)
            np.testing.assert_array_equal(found.theta, due.theta)
