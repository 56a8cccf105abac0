"""The exported training step against eager torch with torch.optim.SGD."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
import torch

from edge_fd.export.step import training_graph
from edge_fd.losses import Loss
from edge_fd.students import build

STUDENTS = ("mlp", "lenet5", "har_cnn")
LOSSES = ("cross_entropy", "label_distillation", "mean_absolute_error")

# ONNX operator kinds that the note on export measured on every ONNX Runtime from
# 1.15 on (onnx_training.md, section 6), Abs and Sign for the absolute error, and MaxUnpool
# (run on 1.16.3, the oldest release that the package admits, and on 1.31.1).
ALLOWED = re.findall(
    r"\w+",
    "Abs Add Cast Concat Conv ConvTranspose Div Equal Exp Expand Gather Gemm Identity "
    "LessOrEqual Log LogSoftmax MatMul Max MaxPool MaxUnpool Mul Neg Pad Reciprocal ReduceMean "
    "ReduceSum Relu Reshape ScatterElements Shape Sigmoid Sign Size Slice Split Sqrt "
    "Squeeze Sub Tanh Transpose Unsqueeze Where ",
)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("student", STUDENTS)
def test_teacher_forced_steps_agree_with_torch_in_every_parameter(
    student: str, loss: str, lab: Any
) -> None:
    torch_side, step = lab.eager(student, loss), lab.session(student, loss)
    for x, inputs in torch_side.batches(*lab.shapes[student], batch=32, steps=50):
        theta, opt, value, logits = step(torch_side.theta, torch_side.opt, x, inputs)
        due_value, due_logits = torch_side.step(x, inputs)
        assert np.abs(theta - torch_side.theta).max() <= 1e-6
        assert np.abs(opt - torch_side.opt).max() <= 1e-6 * max(1, np.abs(opt).max())
        assert value == pytest.approx(due_value, rel=1e-5)
        assert np.abs(logits - due_logits).max() <= 1e-5 * max(1, np.abs(due_logits).max())


@pytest.mark.parametrize("student", STUDENTS)
def test_fifty_free_steps_keep_the_loss_within_a_percent(student: str, lab: Any) -> None:
    torch_side = lab.eager(student, "label_distillation")
    step = lab.session(student, "label_distillation")
    theta, opt = torch_side.theta, torch_side.opt
    for x, inputs in torch_side.batches(*lab.shapes[student], batch=32, steps=50):
        theta, opt, value, _ = step(theta, opt, x, inputs)
        due, _ = torch_side.step(x, inputs)
        assert value == pytest.approx(due, rel=0.01)


@pytest.mark.parametrize("batch", [1, 7, 32])
@pytest.mark.parametrize("student", STUDENTS)
def test_one_graph_serves_every_batch_size(student: str, batch: int, lab: Any) -> None:
    torch_side = lab.eager(student, "label_distillation")
    step = lab.session(student, "label_distillation")
    for x, inputs in torch_side.batches(*lab.shapes[student], batch=batch, steps=2):
        theta, _, _, logits = step(torch_side.theta, torch_side.opt, x, inputs)
        torch_side.step(x, inputs)
        assert logits.shape == (batch, lab.shapes[student][1])
        assert np.abs(theta - torch_side.theta).max() <= 1e-6


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("student", STUDENTS)
def test_graphs_use_the_default_domain_opset_18_and_known_operators(
    student: str, loss: str, lab: Any
) -> None:
    model = onnx.load_from_string(lab.graph(student, loss))
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert {node.op_type for node in model.graph.node} <= set(ALLOWED)
    assert {node.domain for node in model.graph.node} == {""}
    assert len(lab.graph(student, loss)) < 8192  # no weights inside


def test_the_onnx_reference_evaluator_agrees(lab: Any) -> None:
    torch_side = lab.eager("mlp", "label_distillation")
    evaluator = onnx.reference.ReferenceEvaluator(
        onnx.load_from_string(lab.graph("mlp", "label_distillation"))
    )
    ((x, inputs),) = torch_side.batches(*lab.shapes["mlp"], batch=5, steps=1)
    feed = {"theta": torch_side.theta, "opt": torch_side.opt, "x": x, **inputs}
    feed |= {"lr": np.asarray(0.05, np.float32), "momentum": np.asarray(0.9, np.float32)}
    theta = evaluator.run(["new_theta"], {k: np.asarray(v) for k, v in feed.items()})[0]
    torch_side.step(x, inputs)
    assert np.abs(theta - torch_side.theta).max() <= 1e-6


def _gradients(loss: Any, session: Any, batch: int) -> tuple[Any, Any]:
    """The gradient by the exported step (opt after it, from zero) and by autograd."""
    torch.manual_seed(0)
    module = build("mlp", (12,), 5, seed=1)
    step = session(training_graph(module, Loss(loss, rows=("y",)), input_shape=(12,), classes=5))
    x, y = 2 * torch.randn(batch, 12), torch.softmax(torch.randn(batch, 5), -1)
    value = loss(module(x), y)
    due = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, list(module.parameters()))])
    theta = torch.cat([p.detach().reshape(-1) for p in module.parameters()]).numpy()
    _, opt, found, _ = step(theta, np.zeros_like(theta), x.numpy(), {"y": y.numpy()})
    assert found == pytest.approx(value.item(), rel=1e-5)
    return opt, due.numpy()


def test_detach_stops_the_gradient(session: Any) -> None:
    # With the detach ignored the gradient would be twice as large.
    found, due = _gradients(lambda z, y: (z.detach() * z + 0 * y).sum(-1).mean(), session, 6)
    assert np.abs(due).max() > 0.01
    np.testing.assert_allclose(found, due, atol=1e-6 * np.abs(due).max())


OWN_LOSSES = {
    "kl": lambda z, y: (y * (y.clamp(min=1e-6).log() - z.log_softmax(-1))).sum(-1).mean(),
    "temperature": lambda z, y: -(y * (z / 3).log_softmax(-1)).sum(-1).mean() * 9,
    "brier": lambda z, y: ((z.softmax(-1) - y) ** 2).sum(-1).mean(),
    "power": lambda z, y: ((z - y).abs() + 1).pow(1.5).mean(),
    "huber": lambda z, y: torch.nn.functional.smooth_l1_loss(2 * z, y),
    "log sum exp": lambda z, y: (z + y).logsumexp(-1).mean(),
    "margin": lambda z, y: (1 - (z * y).sum(-1) + z.amax(-1)).clamp(min=0).mean(),
    "cosine": lambda z, y: 1 - torch.nn.functional.cosine_similarity(z, y, dim=-1).mean(),
    "where": lambda z, y: torch.where(z > y, z, y * z).mean(),
    "masked mean": lambda z, y: (z * (z > 0.1)).sum() / ((z > 0.1).float().sum() + y.sum()),
    "sigmoids": lambda z, y: (z.sigmoid() * y + z.tanh()).mean(),
    "gram": lambda z, y: ((z @ z.T).pow(2).mean() + (z.T @ y).pow(2).mean()).sqrt(),
    "slices": lambda z, y: (z[:, 1:4] * y[:, :3]).sum() + z[:, 0].mean() + z[:, -1].sum(),
    "joined": lambda z, y: torch.cat([z, y], 1).exp().mean() + torch.stack([z, y]).pow(2).mean(),
    "outer": lambda z, y: (z[:, :, None] * y[:, None, :]).pow(2).mean(),
    "variance": lambda z, y: z.var(-1).mean() + (z - y).std(-1).mean(),
    "activations": lambda z, y: (
        (
            torch.nn.functional.gelu(z)
            + torch.nn.functional.leaky_relu(z)
            + torch.nn.functional.silu(z)
        )
        .mul(y)
        .mean()
    ),
    "clamped": lambda z, y: (z.clamp(-0.2, 0.3) * y).mean() + z.sum() / z.numel(),
}


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", OWN_LOSSES)
def test_a_users_own_loss_has_autograds_gradient(name: str, batch: int, session: Any) -> None:
    found, due = _gradients(OWN_LOSSES[name], session, batch)
    np.testing.assert_allclose(found, due, atol=1e-5 * max(np.abs(due).max(), 1e-3))
