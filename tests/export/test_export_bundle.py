"""export_bundle: the whole way from a module to a verified file, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from devices.bundle import Bundle
from devices.preprocess import Preprocess
from devices.student import State, Student
from edge_fd.errors import UsageError
from edge_fd.exporter import ExportError, export_bundle, step
from edge_fd.exporter import bundle as export_module
from edge_fd.exporter.flat import flatten
from edge_fd.exporter.operators import OPERATORS
from edge_fd.losses import CROSS_ENTROPY, LABEL_DISTILLATION, MEAN_ABSOLUTE_ERROR, Loss
from edge_fd.students import build

LOSSES = {"local": CROSS_ENTROPY, "distil": LABEL_DISTILLATION}


def export(path: Path, module: Any, losses: Any = LOSSES, **changes: Any) -> Bundle:
    settings: dict[str, Any] = {
        "module": module,
        "input_shape": (6,),
        "classes": 4,
        "preprocess": Preprocess(1, 0, (6,)),
        "method": {"name": "fd", "settings": {"gamma": 1.0}, "source_sha256": "0" * 64},
        "lr": 0.05,
        "momentum": 0.9,
        "batch": 8,
    }
    return export_bundle(path / "a.efdb", "own", losses, **{**settings, **changes})


def small(*extra: Any) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), *extra, nn.Linear(5, 4))


def test_equal_exports_give_equal_bytes(tmp_path: Path) -> None:
    module = build("mlp", (6,), 4, seed=1)
    first = export(tmp_path, module)
    data = (tmp_path / "a.efdb").read_bytes()
    second = export(tmp_path, build("mlp", (6,), 4, seed=1))
    assert (tmp_path / "a.efdb").read_bytes() == data
    assert first.id == second.id
    assert export(tmp_path, build("mlp", (6,), 4, seed=2)).id != first.id


def test_the_bundle_tells_what_went_in(tmp_path: Path) -> None:
    module = small()
    bundle = export(tmp_path, module)
    assert bundle.parameters == 6 * 5 + 5 + 5 * 4 + 4
    assert bundle.macs == 6 * 5 + 5 * 4
    assert bundle.losses["distil"].names == ("y", "table", "gamma")
    assert bundle.method["settings"] == {"gamma": 1.0}
    np.testing.assert_array_equal(bundle.theta, flatten(module).numpy())


def test_a_fleet_of_one_student_costs_one_trace_each_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[Any] = []
    real = export_module.training_graph
    monkeypatch.setattr(
        export_module, "training_graph", lambda *a, **k: traced.append(a) or real(*a, **k)
    )
    monkeypatch.setattr(export_module, "_traced", {})
    for seed in range(6):
        export(tmp_path, build("mlp", (6,), 4, seed=seed))
    assert len(traced) == len(LOSSES)


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = nn.Linear(6, 4), factor

    def forward(self, x: Any) -> Any:
        return self.layer(x) * self.factor


def test_modules_that_differ_in_a_plain_setting_do_not_share_a_graph(tmp_path: Path) -> None:
    for factor in (2.0, 3.0):
        module = Scaled(factor)
        student = Student(export(tmp_path, module))
        x = np.ones((1, 6), np.float32)
        with torch.no_grad():
            due = module(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(student.predict(student.initial, x), due, rtol=1e-5)


def test_losses_of_equal_source_and_other_settings_do_not_share_a_graph(tmp_path: Path) -> None:
    def weighted(weight: float) -> Loss:
        return Loss(lambda logits, y: (logits * y).sum() * weight, rows=("y",))

    losses = {"one": weighted(1.0), "two": weighted(2.0)}
    bundle = export(tmp_path, small(), losses)  # parity would fail
    assert bundle.train_graphs["one"] != bundle.train_graphs["two"]


def test_given_weights_replace_the_modules_own_and_leave_it_alone(tmp_path: Path) -> None:
    module = small().eval()
    before = flatten(module).numpy().copy()
    theta = np.linspace(-1, 1, before.size).astype(np.float32)
    bundle = export(tmp_path, module, theta=theta)
    np.testing.assert_array_equal(bundle.theta, theta)
    np.testing.assert_array_equal(flatten(module).numpy(), before)
    assert not module.training


@pytest.mark.parametrize("on_the_kink", [True, False])
def test_a_golden_batch_on_a_kink_is_drawn_again(tmp_path: Path, *, on_the_kink: bool) -> None:
    first = np.random.default_rng(0).standard_normal((1, 6)).astype(np.float32)
    module = small()
    with torch.no_grad():
        places = module[0].weight @ torch.from_numpy(first[0])
        module[0].bias.copy_(-places if on_the_kink else 1 - places)
    found = export(tmp_path, module).golden[0].x
    assert np.array_equal(found, first) != on_the_kink


def test_an_infer_bundle_holds_no_training_graph(tmp_path: Path) -> None:
    bundle = export(tmp_path, small(), capability="infer")
    assert not bundle.train_graphs
    assert not bundle.losses
    Student(bundle).self_test()


def test_the_weights_are_outside_the_inference_graph(tmp_path: Path) -> None:
    model = onnx.load_from_string(export(tmp_path, small()).infer_graph)
    (theta,) = [tensor for tensor in model.graph.initializer if tensor.name == "theta"]
    assert theta.data_location == onnx.TensorProto.EXTERNAL
    assert [entry.name for entry in model.graph.input] == ["x"]


def test_a_large_graph_takes_the_weights_and_keeps_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "LARGE_GRAPH", 1)
    monkeypatch.setattr(export_module, "_traced", {})
    module, x = small(), np.ones((3, 6), np.float32)
    bundle = export(tmp_path, module)
    model = onnx.load_from_string(bundle.infer_graph)
    assert [entry.name for entry in model.graph.input] == ["theta", "x"]
    student = Student(bundle)
    student.self_test()
    session = student._infer
    for seed in (1, 2):
        torch.manual_seed(seed)
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        state = State(flatten(module).numpy(), student.initial.opt)
        due = module(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(student.predict(state, x), due, rtol=1e-5, atol=1e-6)
        assert student._infer is session


def test_only_an_unrolled_student_is_large() -> None:
    inputs = {
        student: [
            entry.name
            for entry in onnx.load_from_string(
                step.inference_graph(build(student, shape, 6, seed=0), input_shape=shape)
            ).graph.input
        ]
        for student, shape in {"mlp": (9, 128), "har_cnn": (9, 128), "gru": (9, 32)}.items()
    }
    assert inputs == {"mlp": ["x"], "har_cnn": ["x"], "gru": ["theta", "x"]}


def test_momentum_zero_is_plain_gradient_descent(tmp_path: Path) -> None:
    Student(export(tmp_path, small(), momentum=0.0)).self_test()


def test_without_momentum_a_step_is_the_same_and_takes_less(tmp_path: Path) -> None:
    module, rng = small(), np.random.default_rng(3)
    losses = {"local": CROSS_ENTROPY}
    plain = Student(export(tmp_path, module, losses, momentum=0.0))
    full = Student(export(tmp_path, module, losses, momentum=0.9))
    (graph,) = plain.bundle.train_graphs.values()
    assert [entry.name for entry in onnx.load_from_string(graph).graph.input] == [
        "theta",
        "x",
        "y",
        "lr",
    ]
    shape, classes = plain.bundle.input_shape, plain.bundle.classes
    x = rng.standard_normal((10, *shape)).astype(np.float32)
    y = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, 10)]
    ours, theirs = (
        student.train(
            student.initial,
            "local",
            x,
            {"y": y},
            rng=np.random.default_rng(0),
            epochs=2,
            batch=4,
            momentum=0.0,
        )
        for student in (plain, full)
    )
    assert ours.state.theta.tobytes() == theirs.state.theta.tobytes()
    assert ours.loss == theirs.loss
    assert not ours.state.opt.any()  # nothing is kept
    with pytest.raises(ValueError, match="export it with a momentum above 0"):
        plain.step(plain.initial, "local", x, {"y": y}, lr=0.1, momentum=0.5)


def test_outputs_are_named_where_they_are_made(tmp_path: Path) -> None:
    bundle = export(tmp_path, small())
    for graph in (*bundle.train_graphs.values(), bundle.infer_graph):
        model = onnx.load_from_string(graph)
        assert "Identity" not in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.BatchNorm1d(5, momentum=None), "'2' (BatchNorm1d) averages over all batches"),
        (nn.BatchNorm1d(5, track_running_stats=False), "'2' (BatchNorm1d) keeps no running"),
        (nn.InstanceNorm1d(5, track_running_stats=True), "'2' (InstanceNorm1d) keeps buffers"),
        (nn.Dropout(0.5), "'2' (Dropout) is random"),
        (nn.LayerNorm(5), "native_layer_norm"),
        (nn.RReLU(), "rrelu|bernoulli|uniform|rand"),
    ],
)
def test_layers_that_cannot_be_exported_are_named(tmp_path: Path, layer: Any, words: str) -> None:
    pattern = words.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(UsageError, match=pattern):
        export(tmp_path, small(layer))


def test_a_frozen_parameter_is_named(tmp_path: Path) -> None:
    module = small()
    module[0].bias.requires_grad_(requires_grad=False)
    with pytest.raises(UsageError, match=r"'0\.bias'"):
        export(tmp_path, module)


@pytest.mark.parametrize(
    "losses",
    [
        {"../evil": CROSS_ENTROPY},
        {"a": Loss(lambda logits, x: (logits * x).sum(), rows=("x",))},
        {"a": Loss(lambda logits, y: (logits * y).sum(), rows=("y", "y"))},
    ],
)
def test_names_that_would_clash_are_refused(tmp_path: Path, losses: Any) -> None:
    with pytest.raises(UsageError, match="identifiers"):
        export(tmp_path, small(), losses)


@pytest.mark.parametrize(
    "change", [{"lr": 0.0}, {"lr": float("nan")}, {"momentum": 1.0}, {"batch": 0}]
)
def test_training_settings_out_of_range_are_refused(tmp_path: Path, change: Any) -> None:
    with pytest.raises(UsageError, match="must be above 0"):
        export(tmp_path, small(), **change)


@pytest.mark.parametrize("value", [object(), float("nan"), b"bytes"])
def test_a_method_that_is_no_json_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UsageError, match="plain JSON"):
        export(tmp_path, small(), method={"name": "fd", "settings": {"gamma": value}})


def test_weights_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="59 finite"):
        export(tmp_path, small(), theta=np.zeros(58, np.float32))


@pytest.mark.parametrize("target", [torch.ops.aten.relu.default, torch.ops.aten.sign.default])
def test_a_wrong_operator_is_caught_by_parity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any
) -> None:
    monkeypatch.setattr(export_module, "_traced", {})
    monkeypatch.setitem(OPERATORS, target, lambda graph, _node, x: graph.op("Tanh", graph.same(x)))
    with pytest.raises(ExportError, match="'own', batch 1"):
        export(tmp_path, small(), {"digest": MEAN_ABSOLUTE_ERROR})
    assert not (tmp_path / "a.efdb").exists()
