"""Bad input at the start of a device and of an aggregator: one line, status 2, nothing lost."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from field import ENTRY, Field, Process, Unbroken, deployed, free_port, tree, wait_until

from broker import brokers_found, open_broker, topics
from broker.client import Client, Message
from broker.frame import encode
from devices.student import State
from edge_fd import Scenario, cli, export, messages
from edge_fd.node import NodeSettings, method_of
from edge_fd.store import DeviceStore, Saved
from edge_fd.verbs import device as device_verb

NAME = "mlp-00"


@pytest.fixture
def field(plans: dict[str, Unbroken], tmp_path: Path) -> Iterator[Field]:
    with deployed(plans["dsfl"], tmp_path / "field", brokers_found()[0]) as made:
        yield made


def refusal(process: Process, *, said_before: int = 0) -> str:
    """Return the one line of a process that must refuse its input."""
    assert process.wait() == 2, process.text
    lines = process.text.splitlines()
    assert len(lines) == said_before + 1, process.text
    assert lines[-1].startswith("edge-fd: error: ")
    return lines[-1]


def device(field: Field, **changes: str) -> Process:
    """Start a device with some of its options replaced."""
    arguments = field.arguments(NAME)
    for option, value in changes.items():
        arguments[arguments.index(f"--{option}") + 1] = value
    return field.start("device", [*ENTRY, *arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_with_one_flipped_byte_is_refused(field: Field) -> None:
    whole = field.plan.kit.devices[NAME].bundle_path.read_bytes()
    for at in (len(whole) // 4, len(whole) // 2, 3 * len(whole) // 4):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        path = field.folder / "flipped.efdb"
        path.write_bytes(flipped)
        line = refusal(device(field, bundle=str(path)))
        assert "flipped.efdb" in line
        assert "copy it again" in line
    assert not field.state(NAME).exists()


def test_a_missing_data_file_is_named(field: Field) -> None:
    line = refusal(device(field, data="nowhere.npz"))
    assert "nowhere.npz: no such file; check the path" in line
    assert not field.state(NAME).exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"y": np.array([3, 10, 1])}, ("'y'", "label 10", "0 to 9")),
        ({"x": np.zeros((3, 5, 4, 4), np.uint8)}, ("(5, 4, 4)", "(8, 8)", "reshape")),
        ({"x": np.zeros((0, 8, 8), np.uint8), "y": np.zeros(0, np.int64)}, ("'x'", "at least one")),
        ({"x": np.full((3, 8, 8), np.nan, np.float32)}, ("'x'",)),
        ({"proxy_x": None}, ("'proxy_x'", "add it")),
    ],
    ids=["labels", "shape", "empty", "nan", "no-proxy"],
)
def test_wrong_data_is_refused_before_the_state_folder_is_touched(
    field: Field, spoil: dict[str, np.ndarray | None], says: tuple[str, ...]
) -> None:
    good = {"x": np.zeros((3, 8, 8), np.uint8), "y": np.array([0, 1, 2])}
    like = good["x"] if spoil.get("x") is None or not len(spoil["x"]) else spoil["x"]
    good["proxy_x"] = like[:1].repeat(60, axis=0)
    arrays = {key: array for key, array in {**good, **spoil}.items() if array is not None}
    path = field.folder / "spoilt.npz"
    np.savez(path, **arrays)
    line = refusal(device(field, data=str(path)))
    assert str(path) in line or "proxy_x" in spoil
    for text in says:
        assert text in line
    assert not field.state(NAME).exists()


def test_the_state_folder_of_another_run_is_refused_and_left_as_it_is(field: Field) -> None:
    bundle = field.plan.kit.devices[NAME].bundle
    state = State(np.zeros(3, np.float32), np.zeros(3, np.float32))
    for run, bundle_id, says in (("other", bundle.id, "'other'"), ("dsfl", "b" * 8, "'bbbbbbbb'")):
        with DeviceStore(field.state(run), run=run, bundle_id=bundle_id) as store:
            store.save(Saved(1, b"sent", state))
        before = contents(field.state(run))
        line = refusal(device(field, state=str(field.state(run))))
        assert says in line
        assert "--state" in line
        assert contents(field.state(run)) == before


def test_a_state_folder_in_use_is_refused_and_left_as_it_is(field: Field) -> None:
    bundle = field.plan.kit.devices[NAME].bundle
    with DeviceStore(field.state(NAME), run="dsfl", bundle_id=bundle.id):
        before = contents(field.state(NAME))
        line = refusal(device(field))
        assert contents(field.state(NAME)) == before
    assert "in use by another process" in line
    assert "--state" in line


def test_a_broker_that_is_not_there_is_named_and_saved_work_is_kept(
    field: Field, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = field.plan.kit.devices[NAME].bundle
    state = State(np.zeros(3, np.float32), np.zeros(3, np.float32))
    with DeviceStore(field.state(NAME), run="dsfl", bundle_id=bundle.id) as store:
        store.save(Saved(1, b"sent", state))
    before = (field.state(NAME) / "device.state").read_bytes()
    quick = partial(NodeSettings, connect_timeout_s=0.2)  # half a minute for a user
    monkeypatch.setattr(device_verb, "NodeSettings", quick)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        status = cli.main(field.arguments(NAME))
    finally:
        signal.signal(signal.SIGTERM, handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2
    assert line.startswith(f"edge-fd: error: no broker at {field.url} within 0.2 s")
    assert "check host, port and network" in line
    assert (field.state(NAME) / "device.state").read_bytes() == before


@pytest.mark.broker
def test_an_aggregator_with_other_settings_turns_the_device_away(
    field: Field, tmp_path: Path
) -> None:
    other = tree("dsfl") | {"method": {"name": "dsfl", "dsfl": {"distil_epochs": 2}}}
    kit = export(Scenario.parse(other), tmp_path / "other")
    aggregator = field.serve()
    wait_until(lambda: "broker" in aggregator.text, "the aggregator", state=field.tell)
    line = refusal(device(field, bundle=str(kit.devices[NAME].bundle_path)), said_before=1)
    assert "with other settings" in line
    assert "export the bundle again" in line
    assert aggregator.status is None


@pytest.mark.broker
@pytest.mark.parametrize("broker", brokers_found()[:1])
def test_an_upload_without_an_answer_is_sent_again_over_a_connection_that_holds(
    plans: dict[str, Unbroken], broker: str, tmp_path: Path
) -> None:
    """The broker took it, nobody answers, nobody reminds: the device's own patience must end."""
    plan = plans["fd"]
    bundle = plan.kit.devices[NAME].bundle
    fingerprint = method_of(bundle, plan.bundles).fingerprint()
    online = messages.AggregatorState(1, True, fingerprint, plan.kit.scenario.seed, None)
    asked = messages.announce(run="fd", round=1, device="", after=0, left_s=300.0, indices=None)
    with (
        deployed(plan, tmp_path / "field", broker) as field,
        open_broker(tmp_path, url=broker, port=field.port),
        Client(field.url, "mute", subscriptions=topics.aggregator_filters("fd")) as mute,
    ):
        mute.start(timeout_s=30.0)
        state = encode(messages.state(online, run="fd", method="fd"))
        mute.publish(topics.bcast("fd", "state"), state, retain=True)
        process = field.device(NAME)
        hear(mute, "birth", field)
        mute.publish(topics.bcast("fd", "round"), encode(asked))
        first, second, third = (hear(mute, "knowledge", field) for _ in range(3))
        assert first == second == third
        assert process.status is None
        assert "disconnected" not in process.text


def hear(client: Client, leaf: str, field: Field) -> bytes:
    """Return the payload of the next message of the device about ``leaf``."""
    heard: list[bytes] = []

    def came() -> bool:
        event = client.next_event(timeout_s=0.1)
        if isinstance(event, Message) and topics.parse(event.topic).leaf == leaf:
            heard.append(event.payload)
        return bool(heard)

    wait_until(came, leaf, state=field.tell)
    return heard[0]


def serve(field: Field, *more: str) -> Process:
    arguments = ["serve", str(field.plan.folder / "scenario.toml"), "--out", str(field.run)]
    bundles = ["--bundles", str(field.plan.bundles)]
    return field.start("serve", [*ENTRY, *arguments, *bundles, *more], "page")


def test_a_port_in_use_is_named(field: Field) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        line = refusal(serve(field, "--port", str(port)))
    assert f"port {port} " in line
    assert "another port" in line


def test_a_misspelt_key_is_named_with_its_nearest(field: Field) -> None:
    line = refusal(serve(field, "--set", "rounds.cuont=3"))
    assert "'rounds.cuont'" in line
    assert "did you mean 'count'" in line
    assert not field.run.exists()


def test_fedavg_over_two_architectures_is_refused(field: Field) -> None:
    line = refusal(serve(field, "--method", "fedavg"))
    assert "lenet5, mlp" in line
    assert "give all devices one student" in line
    assert not field.run.exists()


@pytest.mark.broker
def test_an_interrupted_run_of_another_scenario_is_left_as_it_is(field: Field) -> None:
    first = field.serve()
    wait_until(lambda: "broker" in first.text, "the aggregator", state=field.tell)
    first.kill()
    broker = field.broker_pid
    before = contents_of_run(field)
    line = refusal(serve(field, "--set", "rounds.count=9"))
    assert "another scenario" in line
    assert "name another folder or remove this one" in line
    assert contents_of_run(field) == before
    assert field.broker_pid == broker


def contents_of_run(field: Field) -> dict[str, bytes]:
    """All files of a run but for the status in run.json and the broker's log."""
    return {
        path.name: path.read_bytes()
        for path in field.run.iterdir()
        if path.is_file() and path.name not in ("run.json", "broker.log")
    }
