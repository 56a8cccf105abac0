"""Students by name: shapes, seeds, a user's own module, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.students import STUDENTS, build, default_input_shape


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("mlp", (8, 8), 10),
        ("mlp", (784,), 3),
        ("lenet5", (1, 12, 12), 10),
        ("lenet5", (3, 32, 29), 10),
        ("har_cnn", (9, 128), 6),
        ("har_cnn", (2, 5), 6),
        ("dscnn", (1, 8, 8), 10),
        ("dscnn", (3, 49, 10), 12),
        ("gru", (9, 128), 6),
        ("gru", (2, 5), 3),
        ("gru", (1, 50), 3),
    ],
)
def test_students_map_a_batch_to_logits(name: str, shape: tuple[int, ...], classes: int) -> None:
    module = build(name, shape, classes, seed=0)
    assert module(torch.zeros(5, *shape)).shape == (5, classes)
    assert module.training


@pytest.mark.parametrize("name", sorted(STUDENTS))
def test_weights_depend_on_the_seed_alone_and_the_callers_generator_is_left(name: str) -> None:
    shape = (9, 128) if name in ("har_cnn", "gru") else (1, 28, 28)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(name, shape, 10, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again, other = build(name, shape, 10, seed=5), build(name, shape, 10, seed=6)
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        # Batch norm starts from ones and zeros whatever the seed.
        assert not torch.equal(a, c) or a.unique().tolist() in ([0.0], [1.0])


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lenet5'"):
        build("lenet", (1, 28, 28), 10, seed=0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet5", (1, 8, 8)),
        ("lenet5", (28, 28)),
        ("lenet5", (2, 28, 28)),
        ("har_cnn", (9,)),
        ("dscnn", (1, 7, 28)),
        ("dscnn", (28, 28)),
        ("gru", (9, 3)),
        ("gru", (9,)),
    ],
)
def test_a_shape_that_a_student_cannot_take_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=name):
        build(name, shape, 10, seed=0)


@pytest.mark.parametrize(
    ("name", "data", "due"),
    [
        ("mlp", (8, 8), (8, 8)),
        ("lenet5", (8, 8), (1, 28, 28)),
        ("lenet5", (28, 28), (1, 28, 28)),
        ("lenet5", (3, 32, 32), (3, 32, 32)),
        ("lenet5", (3, 8, 32), (3, 28, 28)),
        ("har_cnn", (9, 128), (9, 128)),
        ("dscnn", (8, 8), (1, 8, 8)),
        ("dscnn", (7, 30), (1, 28, 28)),
        ("gru", (9, 128), (9, 128)),
    ],
)
def test_default_input_shapes(name: str, data: tuple[int, ...], due: tuple[int, ...]) -> None:
    assert default_input_shape(name, data) == due


@pytest.mark.parametrize(("length", "steps"), [(128, 32), (32, 32), (50, 25), (131, 26), (5, 5)])
def test_the_gru_sees_means_of_equal_blocks_up_to_the_end(length: int, steps: int) -> None:
    module = build("gru", (2, length), 3, seed=0)
    seen: list[torch.Tensor] = []
    module.gru.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    x = torch.arange(2 * length).reshape(1, 2, length).float()
    module(x)
    assert seen[0].shape == (1, steps, 2)
    block = -(-length // 32)
    torch.testing.assert_close(seen[0][0, -1], x[0, :, -block:].mean(1))
    first = length - steps * block
    torch.testing.assert_close(seen[0][0, 0], x[0, :, first : first + block].mean(1))


OWN = """
import torch
def good(input_shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(input_shape[0], classes))
def narrow(input_shape, classes):
    return torch.nn.Linear(input_shape[0], classes + 1)
def none(input_shape, classes):
    return None
def misfit(input_shape, classes):
    return torch.nn.Linear(99, classes)
def double(input_shape, classes):
    return torch.nn.Linear(input_shape[0], classes).double()
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_students.py").write_text(OWN)
    (tmp_path / "torch.py").write_text("raise RuntimeError('an installed package is hidden')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "own_students", raising=False)
    return "own_students"


def test_a_users_own_factory_in_the_current_folder(own: str) -> None:
    first = build(f"{own}:good", (7,), 3, seed=2)
    again = build(f"{own}:good", (7,), 3, seed=2)
    assert torch.equal(first[1].weight, again[1].weight)
    assert sys.path[-1] == str(Path.cwd())


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("narrow", r"not logits \(2, 3\)"),
        ("none", "must return a torch.nn.Module"),
        ("misfit", "does not take an input"),
        ("double", "does not take an input"),
        ("number", "not a factory"),
        ("missing", "cannot be loaded"),
    ],
)
def test_a_bad_factory_is_refused_by_name(own: str, attribute: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        build(f"{own}:{attribute}", (7,), 3, seed=0)
    assert f"{own}:{attribute}" in str(raised.value)


@pytest.mark.parametrize("name", ["no_such_module:make", ":make", "math:"])
def test_a_name_that_leads_nowhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be loaded"):
        build(name, (7,), 3, seed=0)
