"""The one adapter to torch's semi-private tracing: a function to a graph of aten operators.

Nothing else in edge_fd touches ``torch._subclasses``, ``torch.fx.experimental``
or ``torch._decomp``, so that a new torch is met in this file and in
``lowerings.py`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from edge_fd.errors import UsageError

Tensor = Any

TESTED_TORCH = "2.13"
EXAMPLE_BATCH = 17  # a prime that no layer size shares, so that a baked-in batch shows


@dataclass(frozen=True)
class Traced:
    """A torch.fx graph module of aten operators with a fake value on every node."""

    module: Any
    batched: frozenset[str]
    names: tuple[str, ...]


def require_tested_torch() -> None:
    """Raise UsageError unless torch is of the minor version that tracing was tested with."""
    found = str(torch.__version__)
    if found.split(".")[:2] != TESTED_TORCH.split("."):
        raise UsageError(
            f"export needs torch {TESTED_TORCH}, found {found}; run: pip install 'edge-fd[server]'"
        )


def trace(
    function: Callable[..., tuple[Tensor, ...]],
    example: Mapping[str, Tensor],
    *,
    batched: frozenset[str],
    decompositions: Mapping[Any, Callable[..., Any]],
) -> Traced:
    """Trace ``function(*example.values())``; axis 0 of the inputs in ``batched`` stays open.

    All batched inputs share one batch symbol. Raises UsageError where the
    function only works for the example's batch size.
    """
    require_tested_torch()
    from torch._dispatch.python import enable_python_dispatcher
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    # Without duck shapes, a layer as wide as the batch does not become the batch.
    shapes = ShapeEnv(duck_shape=False)
    mode = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True, static_shapes=False)
    fakes = [
        _fake(mode, name, tensor, open_axis=name in batched) for name, tensor in example.items()
    ]
    open_fakes = [fake for name, fake in zip(example, fakes, strict=True) if name in batched]
    for fake in open_fakes[1:]:
        torch._check(fake.shape[0] == open_fakes[0].shape[0])  # noqa: SLF001 - public by its documentation
    traced = make_fx(
        torch.func.functionalize(function),
        decomposition_table=dict(decompositions),
        tracing_mode="real",
        _allow_non_fake_inputs=True,
    )
    # The C++ shape rules of some operators fix the batch; the Python ones do not.
    with mode, enable_python_dispatcher():
        module = traced(*fakes)
    _refuse_fixed_batch(shapes, open_fakes)
    module.graph.eliminate_dead_code()
    return Traced(module, batched, tuple(example))


def _fake(mode: Any, name: str, tensor: Tensor, *, open_axis: bool) -> Tensor:
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import (
        DimDynamic,
        StatelessSymbolicContext,
    )

    sizes = [DimDynamic.STATIC] * tensor.dim()
    if open_axis:
        sizes[0] = DimDynamic.DYNAMIC
    context = StatelessSymbolicContext(dynamic_sizes=sizes)
    return mode.from_tensor(tensor, source=ConstantSource(name), symbolic_context=context)


def _refuse_fixed_batch(shapes: Any, open_fakes: list[Tensor]) -> None:
    """An equality of the batch symbol with a number means that the example's size was baked in."""
    fixed = [
        str(guard.expr)
        for guard in shapes.guards
        if type(guard.expr).__name__ == "Equality"
        and any(side.is_number for side in guard.expr.args)
    ]
    if fixed or not all(_is_open(fake.shape[0]) for fake in open_fakes):
        raise UsageError(
            f"the traced step only works for a batch of {EXAMPLE_BATCH} ({', '.join(fixed)});"
            " flatten to (batch, features) before a Linear layer, and take no size of the batch"
            " as a Python number"
        )


def _is_open(size: Any) -> bool:
    return isinstance(size, torch.SymInt) and not size.node.expr.is_number
