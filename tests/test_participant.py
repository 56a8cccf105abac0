"""A device in a run: the bytes it sends, what it makes durable first, what it does not believe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from broker import topics
from broker.frame import Frame, decode, encode
from devices.student import Student
from edge_fd import messages
from edge_fd.admission import Expected, admit
from edge_fd.desk import Desk
from edge_fd.errors import RefusedError
from edge_fd.kit import Kit, prepare
from edge_fd.knowledge import Knowledge
from edge_fd.messages import AggregatorState, Out
from edge_fd.methods.base import Device
from edge_fd.participant import Identity, Participant
from edge_fd.scenario import Scenario
from edge_fd.store import DeviceStore, Saved

ME, RUN = "d-00", "tiny"
Make = Callable[..., Participant]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    tree = {
        "name": RUN,
        "data": {"name": "digits", "proxy": 10, "test": 10},
        "split": {"kind": "iid", "max_per_device": 20},
        "training": {"batch": 8},
        "method": {"name": "fd"},
        "devices": [{"count": 2, "student": "mlp", "name": "d"}],
    }
    return prepare(Scenario.parse(tree), tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def make(kit: Kit) -> Make:
    me = kit.devices[ME]
    desk = Desk(Student(me.bundle), kit.method.losses)

    def made(session: int = 1, **options: Any) -> Participant:
        device = Device(ME, kit.dataset.classes, "train", me.private, kit.proxy)
        identity = Identity(RUN, ME, b"folder", session)
        return Participant(
            identity, kit.method, device, desk, codec=kit.codec, seed=0, resend_s=2.0, **options
        )

    return made


def state(kit: Kit, **changes: Any) -> tuple[str, bytes]:
    values = {
        "epoch": 1, "online": True, "method": kit.method.fingerprint(), "seed": 0,
        "finished_after": None,
        **changes,
    }  # fmt: skip
    said = AggregatorState(**values)
    return topics.bcast(RUN, "state"), encode(messages.state(said, run=RUN, method="fd"))


def announce(number: int, after: int, **changes: Any) -> tuple[str, bytes]:
    facts: dict[str, Any] = {"run": RUN, "device": "", **changes}
    frame = messages.announce(round=number, after=after, left_s=9.0, indices=None, **facts)
    return topics.bcast(RUN, "round"), encode(frame)


def knowledge(kit: Kit, number: int) -> tuple[str, bytes]:
    rows = np.random.default_rng(number).random((10, 10)) + 0.1
    piece = Knowledge("label_table", (rows / rows.sum(-1, keepdims=True)).astype(np.float32))
    frame, _ = messages.piece(piece, kit.codec, run=RUN, round=number, device=ME, method="fd")
    return topics.down(RUN, ME, "knowledge"), encode(frame)


def receipt(number: int, verdict: str = "accepted", reason: str = "") -> tuple[str, bytes]:
    frame = messages.receipt(run=RUN, device=ME, round=number, verdict=verdict, reason=reason)
    return topics.down(RUN, ME, "receipt"), encode(frame)


def hear(me: Participant, *told: tuple[str, bytes], now_s: float = 1.0) -> list[Out]:
    return [message for one in told for message in me.receive(*one, now_s)]


def play(me: Participant) -> Out:
    """Compute the job at hand; return the upload."""
    assert me.job is not None
    me.job.run()
    (upload,) = me.finish(2.0)
    return upload


def begun(make: Make, kit: Kit, **options: Any) -> Participant:
    me = make(**options)
    me.connected(0.0)
    hear(me, state(kit))
    return me


def test_the_birth_says_who_it_is_and_what_it_can(make: Make, kit: Kit) -> None:
    me = make(session=4)
    assert me.connected(0.0) == []
    (birth,) = hear(me, state(kit))
    said = messages.read_birth(birth.frame)
    bundle = kit.devices[ME].bundle
    assert birth.topic == topics.up(RUN, ME, "birth")
    assert (said.instance, said.session, said.capability) == (b"folder", 4, "train")
    assert (said.student, said.parameters) == ("mlp", bundle.parameters)
    assert said.method == kit.method.fingerprint()


def test_an_upload_is_what_the_aggregator_admits_and_is_saved_before_it_is_sent(
    make: Make, kit: Kit
) -> None:
    saved: list[Saved] = []
    me = begun(make, kit, save=saved.append)
    assert hear(me, announce(1, 0)) == []
    upload = play(me)
    assert [s.upload for s in saved] == [upload.payload]
    assert (saved[0].done, saved[0].state) == (1, me.state)
    assert not np.array_equal(me.state.theta, kit.devices[ME].bundle.theta)
    piece = admit(upload.frame, Expected("label_table", 10))
    assert piece is not None
    labels = kit.devices[ME].private.labels
    np.testing.assert_array_equal(piece.exact["counts"], np.bincount(labels, minlength=10))


def test_where_saving_fails_nothing_is_sent(make: Make, kit: Kit) -> None:
    def full(_saved: Saved) -> None:
        raise OSError(28, "No space left on device")

    me = begun(make, kit, save=full)
    hear(me, announce(1, 0))
    with pytest.raises(OSError, match="No space"):
        play(me)


def test_after_a_cut_in_the_computing_the_round_gives_the_same_bytes(make: Make, kit: Kit) -> None:
    whole = begun(make, kit)
    hear(whole, announce(1, 0))
    first = play(whole).payload
    hear(whole, receipt(1), knowledge(kit, 1), announce(2, 1))
    kept = whole.saved
    second = play(whole).payload
    # Cut before the outcome is durable: all that is left is the state after round 1.
    cut = begun(make, kit, saved=kept, session=2)
    hear(cut, knowledge(kit, 1), announce(2, 1))
    assert cut.job is not None
    cut.job.answer()  # computed, and thrown away
    np.testing.assert_array_equal(cut.state.theta, kept.state.theta)
    again = begun(make, kit, saved=kept, session=3)
    hear(again, announce(2, 1), knowledge(kit, 1))
    assert play(again).payload == second != first
    np.testing.assert_array_equal(again.state.theta, whole.state.theta)


def test_after_a_cut_behind_the_saving_the_saved_bytes_are_sent(
    make: Make, kit: Kit, tmp_path: Path
) -> None:
    bundle_id = kit.devices[ME].bundle.id
    with DeviceStore(tmp_path / "s", run=RUN, bundle_id=bundle_id) as store:
        me = begun(make, kit, save=store.save)
        hear(me, announce(1, 0))
        sent = play(me)
    with DeviceStore(tmp_path / "s", run=RUN, bundle_id=bundle_id) as store:
        again = begun(make, kit, saved=store.load(), session=store.session)
        (resent,) = hear(again, announce(1, 0))
        assert again.job is None
        assert resent.payload == sent.payload
        # And it goes on from the saved weights to the same second round.
        for one in (me, again):
            hear(one, receipt(1), announce(2, 1), knowledge(kit, 1))
        assert play(again).payload == play(me).payload


def test_the_batches_of_a_round_are_those_of_the_device_and_the_round(make: Make, kit: Kit) -> None:
    uploads = []
    for number in (1, 2):
        me = begun(make, kit)
        hear(me, announce(number, 0))
        uploads.append(admit(play(me).frame, Expected("label_table", 10)))
    one, two = uploads
    assert one is not None
    assert two is not None
    assert not np.array_equal(one.value, two.value)


def test_a_resent_upload_is_charged_again_and_its_numbers_count_once(make: Make, kit: Kit) -> None:
    me = begun(make, kit)
    hear(me, announce(1, 0))
    first = play(me)
    me.sent(0.0)
    (second,) = me.tick(2.0)
    assert first.cost is not None
    assert second.cost is not None
    assert (first.cost.paper_bits, second.cost.paper_bits) == (3200, 0)
    assert first.cost.on_air == second.cost.on_air > len(first.payload)
    assert first.payload == second.payload


def test_it_leaves_when_the_run_is_over(make: Make, kit: Kit) -> None:
    me = begun(make, kit)
    hear(me, announce(1, 0))
    play(me)
    hear(me, receipt(1, "late", "closed"), state(kit, finished_after=1))
    assert me.settled == (1, "late", "closed")
    assert not me.left
    hear(me, knowledge(kit, 1))
    assert me.left


def test_its_will_is_its_death_and_measurements_are_not_charged(make: Make) -> None:
    me = make(session=6)
    topic, payload = me.will()
    said = decode(payload)
    assert topic == topics.up(RUN, ME, "death")
    assert (said.kind, said.meta) == ("death", {"instance": b"folder", "session": 6})
    told = me.metrics(3, {"loss": 0.5})
    assert (told.cost, told.round, told.frame.meta) == (None, 3, {"loss": 0.5})


def test_only_the_incarnation_that_is_turned_away_leaves(make: Make, kit: Kit) -> None:
    me = begun(make, kit, session=2)
    topic = topics.down(RUN, ME, "refused")

    def refused(instance: bytes, session: int) -> tuple[str, bytes]:
        frame = messages.refused(
            run=RUN, device=ME, instance=instance, session=session, reason="a copy is in use"
        )
        return topic, encode(frame)

    assert hear(me, refused(b"folder", 1), refused(b"other!", 2)) == []
    with pytest.raises(RefusedError, match="a copy is in use"):
        hear(me, refused(b"folder", 2))


def test_an_aggregator_with_another_method_is_left(make: Make, kit: Kit) -> None:
    with pytest.raises(RefusedError, match="with other settings"):
        hear(make(), state(kit, method=b"12345678"))


def test_a_bundle_of_another_seed_is_told_before_it_learns(kit: Kit, make: Make) -> None:
    with pytest.raises(RefusedError, match="runs seed 5, this bundle is of seed 0; export"):
        make().receive(*state(kit, seed=5), 0.0)


@pytest.mark.parametrize(
    "told",
    [
        (topics.bcast(RUN, "round"), b""),
        (topics.bcast(RUN, "round"), announce(1, 0)[1][:-1]),
        ("no/topic", announce(1, 0)[1]),
        announce(1, 0, run="other"),
        announce(1, 0, device="d-01"),
        (topics.bcast(RUN, "round"), encode(Frame("announce", run=RUN, round=1))),
        (topics.bcast(RUN, "state"), encode(Frame("state", run=RUN, meta={"epoch": "one"}))),
        (topics.down(RUN, ME, "knowledge"), encode(Frame("receipt", run=RUN, round=1))),
        (topics.down(RUN, ME, "receipt"), encode(Frame("receipt", run=RUN, round=1))),
    ],
    ids=["empty", "cut", "topic", "run", "device", "no after", "type", "kind", "no verdict"],
)
def test_what_cannot_be_read_is_counted_and_left_alone(
    make: Make, kit: Kit, told: tuple[str, bytes]
) -> None:
    me = begun(make, kit)
    assert hear(me, told) == []
    assert me.refusals == 1
    assert me.job is None
    hear(me, announce(1, 0))
    assert me.job is not None


def test_it_may_not_finish_what_is_not_computed(make: Make, kit: Kit) -> None:
    me = begun(make, kit)
    hear(me, announce(1, 0))
    with pytest.raises(RuntimeError, match="round 1 is not computed yet"):
        me.finish(1.0)
