"""From a scenario to a kit: what does not go together is refused, what is there is used again."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="bundles are made with torch, of the extra 'server'")

from devices.bundle import read_bundle
from devices.student import Student
from edge_fd import methods, workshop
from edge_fd.data import load
from edge_fd.desk import Desk
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.kit import Kit, check_fit, export, prepare
from edge_fd.losses import CROSS_ENTROPY
from edge_fd.scenario import Scenario

MIXED = [
    {"count": 2, "student": "mlp", "name": "small"},
    {"count": 1, "student": "lenet5", "name": "large"},
    {"count": 1, "student": "mlp", "name": "eye", "capability": "infer", "factory_epochs": 1},
]


def scenario(devices: list[dict[str, Any]] = MIXED, **sections: Any) -> Scenario:
    tree = {"name": "k", "data": {"proxy": 60, "test": 100}, "devices": devices, **sections}
    return Scenario.parse(tree)


def one(**changes: Any) -> list[dict[str, Any]]:
    return [{"count": 2, "student": "mlp", **changes}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of all tests here: made once."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def kit(folder: Path) -> Kit:
    return prepare(scenario(server={"student": "lenet5"}), folder, method="dsfl")


@pytest.mark.parametrize(
    ("method", "devices", "sections", "told"),
    [
        ("fedavg", MIXED, {}, "one architecture, the scenario has lenet5, mlp; give all devices"),
        (
            "fedavg", one(capability="infer", factory_epochs=1), {},
            "needs devices that train, group 'mlp' has capability 'infer'; leave the group out",
        ),
        ("fd", one(count=1), {}, "needs at least 2 devices, the scenario has 1; raise devices.cou"),
        ("fedmd", one(), {"data": {"proxy": 0}}, "needs proxy data and data.proxy = 0; set data.p"),
        ("dsfl", one(), {"data": {"proxy": 0}}, "needs proxy data and data.proxy = 0; set data.pr"),
        (
            "dsfl", one(capability="infer"), {},
            "'mlp' can only infer and factory_epochs = 0 leaves it untrained; give it factory_epo",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_the_remedy(
    tmp_path: Path, method: str, devices: list[dict[str, Any]], sections: Any, told: str
) -> None:
    chosen = scenario(devices, **sections)
    with pytest.raises(UsageError) as refused:
        prepare(chosen, tmp_path / "bundles", method=method)
    assert told in str(refused.value)
    assert f"{method!r}" in str(refused.value) or "can only infer" in str(refused.value)
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize(
    ("method", "devices", "data"),
    [
        ("local", one(count=1), {"proxy": 0}),
        ("fd", one(count=2), {"proxy": 0}),
        ("fd", MIXED, {"proxy": 0}),
        ("dsfl", MIXED, {"proxy": 1}),
        ("fedavg", one(), {"proxy": 0}),
    ],
)
def test_what_goes_together_is_let_through(
    method: str, devices: list[dict[str, Any]], data: Any
) -> None:
    check_fit(methods.create(method), scenario(devices, data=data))


def test_an_unknown_codec_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'uint16'; did you mean"):
        prepare(scenario(transport={"codec": "uint16"}), tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


def test_private_proxy_and_test_samples_are_different_samples(kit: Kit) -> None:
    parts = kit.parts
    rows = np.concatenate([*parts.private.values(), parts.proxy])
    assert not parts.own_proxy
    assert len(np.unique(rows)) == len(rows)
    assert kit.proxy is not None
    assert len(kit.proxy) == 60
    # The test part comes from a part of the data set that no index above points into.
    assert len(kit.test) == 100
    digits = load("digits")
    whole = {image.tobytes() for image in digits.x}
    assert not whole & {image.tobytes() for image in digits.test_x}
    for name, device in kit.devices.items():
        np.testing.assert_array_equal(device.private.x, digits.x[parts.private[name]])


def test_equal_students_start_from_equal_weights(kit: Kit) -> None:
    first, second = kit.devices["small-00"], kit.devices["small-01"]
    assert first.bundle_path == second.bundle_path
    assert kit.server is not None
    large = kit.devices["large-00"].bundle
    assert kit.server.id == large.id
    # Trained at the factory on its own data: the same layout, but other weights.
    eye = kit.devices["eye-00"].bundle
    assert eye.parameters == first.bundle.parameters
    assert not np.array_equal(eye.theta, first.bundle.theta)
    assert eye.capability == "infer"
    assert not eye.train_graphs


def test_the_weights_do_not_depend_on_the_method_but_on_the_seed(folder: Path, kit: Kit) -> None:
    theta = kit.devices["small-00"].bundle.theta
    fd = prepare(scenario(one()), folder, method="fd").devices["mlp-00"].bundle
    other = prepare(scenario(one(), seed=1), folder, method="fd").devices["mlp-00"].bundle
    np.testing.assert_array_equal(fd.theta, theta)
    assert not np.array_equal(other.theta, theta)


def test_another_device_leaves_the_bundles_of_the_others_alone(folder: Path, kit: Kit) -> None:
    more = [{**MIXED[0], "count": 3}, *MIXED[1:2]]
    grown = prepare(scenario(more, server={"student": "lenet5"}), folder, method="dsfl")
    for name in ("small-00", "small-01", "large-00"):
        assert grown.devices[name].bundle_path == kit.devices[name].bundle_path


def test_what_is_sent_once_is_counted(kit: Kit) -> None:
    # 60 digits of 8x8 bytes; DS-FL needs no labels of them, FedMD's transfer 8 B for each.
    assert kit.one_time_proxy_bytes == 60 * 64
    fedmd = replace(kit, method=methods.create("fedmd"))
    assert fedmd.one_time_proxy_bytes == 60 * (64 + 8)
    sizes = [device.bundle_path.stat().st_size for device in kit.devices.values()]
    assert kit.one_time_bundle_bytes == pytest.approx(np.mean(sizes), abs=0.5)
    assert replace(kit, proxy=None).one_time_proxy_bytes == 0


@pytest.mark.parametrize(
    ("participation", "quorum", "expected"),
    # Of 25 devices; a share is rounded up, and 0.28 * 25 = 7.000000000000001 must not become 8.
    [
        (1.0, 1.0, 25),
        (1.0, 0.28, 7),
        (0.28, 1.0, 7),
        (0.25, 1.0, 7),
        (0.4, 0.55, 6),
        (0.01, 0.01, 1),
    ],
)
def test_the_quorum_is_the_share_of_those_asked(
    folder: Path, participation: float, quorum: float, expected: int
) -> None:
    rounds = {"participation": participation, "quorum": quorum}
    made = prepare(scenario(one(count=25), rounds=rounds), folder, method="fd")
    assert made.plan.quorum == expected


WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path, target=None):
        if name in ("torch", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from edge_fd.errors import MissingExtraError
from edge_fd.kit import prepare
from edge_fd.scenario import Scenario
scenario = Scenario.load(sys.argv[1])
kit = prepare(scenario, sys.argv[2])
print(*[device.bundle.id for device in kit.devices.values()])
try:
    prepare(scenario, sys.argv[2], method="fd")
except MissingExtraError as error:
    print(error)
"""


def test_bundles_that_are_there_need_no_torch(tmp_path: Path) -> None:
    chosen = scenario(one(), method={"name": "local"})
    (tmp_path / "s.toml").write_text(chosen.to_toml())
    made = prepare(chosen, tmp_path / "bundles")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "bundles").iterdir()}
    assert stamps
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, tmp_path / "s.toml", tmp_path / "bundles"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids, told = done.stdout.splitlines()
    assert ids.split() == [device.bundle.id for device in made.devices.values()]
    assert re.fullmatch(
        r"the package '(torch|onnx)' is not installed; run: pip install 'edge-fd\[server\]'", told
    )
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "bundles").iterdir()} == stamps


def test_a_bundle_is_made_again_where_what_is_in_it_would_differ(
    folder: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path_of(
        dataset: Any = kit.dataset, made: Any = kit.method, like: Any = kit.scenario
    ) -> str:
        shop = workshop.Workshop(like, made, dataset, folder)
        monkeypatch.setattr(shop, "_write", lambda *_: None)
        monkeypatch.setattr(workshop, "read_bundle", lambda path: path)
        return shop.bundle("mlp", "train")[1].name

    training = kit.scenario.training.model_copy(update={"lr": 0.01})
    loss = replace(CROSS_ENTROPY, scalars=("weight",))
    changed = type("DSFL", (type(kit.method),), {"losses": {"local": loss}})()
    monkeypatch.setattr(type(changed), "fingerprint", lambda _: kit.method.fingerprint())
    paths = [
        path_of(),
        path_of(replace(kit.dataset, scale=1.0)),
        path_of(replace(kit.dataset, offset=-0.5)),
        path_of(made=methods.create("dsfl", {"temperature": 0.2})),
        path_of(made=changed),
        path_of(like=kit.scenario.model_copy(update={"training": training})),
    ]
    assert len(set(paths)) == len(paths)
    assert path_of() == paths[0] == kit.devices["small-00"].bundle_path.name


def test_a_kit_for_boards_holds_what_each_device_needs(tmp_path: Path) -> None:
    chosen = scenario(one(), method={"name": "local"})
    made = export(chosen, tmp_path)
    for name, device in made.devices.items():
        assert read_bundle(device.bundle_path).id == device.bundle.id
        assert device.bundle_path.parent == tmp_path / "bundles"
        with np.load(tmp_path / "data" / f"{name}.npz") as data:
            np.testing.assert_array_equal(data["x"], device.private.x)
            np.testing.assert_array_equal(data["y"], device.private.y)
    assert Scenario.load(tmp_path / "scenario.toml") == chosen


def test_the_aggregator_is_told_how_many_weights_each_device_sends(folder: Path) -> None:
    """An upload of another length is refused; only methods whose weights travel tell."""
    for method, told in (("fedavg", True), ("fd", False)):
        made = prepare(scenario(one()), folder, method=method)
        students = {bundle.id: Student(bundle) for bundle in made.servers}
        desks = {key: Desk(student, made.method.losses) for key, student in students.items()}
        due = {name: device.bundle.theta.size for name, device in made.devices.items()}
        assert made.holdings(desks).parameters == (due if told else {})
