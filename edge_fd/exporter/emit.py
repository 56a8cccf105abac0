"""From a traced graph of aten operators to an ONNX model: names, constants, clean-up.

What each operator becomes stands in ``operators.py``; this file walks the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_fd.errors import UsageError
from edge_fd.exporter.trace import Traced
from edge_fd.exporter.uniform import fills, number_of

OPSET = 18
IR_VERSION = 8

ONNX_TYPES: dict[Any, int] = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.bool: TensorProto.BOOL,
}
NUMPY_TYPES: dict[Any, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.bool: np.bool_,
}

Operator = Callable[..., Any]


class Table(dict[Any, Operator]):
    """Operators by what they lower."""

    def of(self, *targets: Any) -> Callable[[Operator], Operator]:
        """Enter the decorated function for each of ``targets``."""

        def enter(function: Operator) -> Operator:
            self.update(dict.fromkeys(targets, function))
            return function

        return enter


def fake(node: Any) -> Any:
    """Return the fake tensor or symbolic number that stands for an fx node's value."""
    return node.meta["val"]


class Graph:
    """An ONNX graph that grows; values are known by name.

    ``lower`` appends what an fx node computes and returns its name.
    """

    def __init__(self, lower: Callable[[Graph, Any], Any]) -> None:
        self._lower = lower
        self.nodes: list[Any] = []
        self.initialisers: dict[str, Any] = {}
        self.env: dict[Any, Any] = {}  # fx node -> name, or list of names
        self.numbers: dict[Any, str] = {}  # fx node that holds one number everywhere -> its name
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Append a node and return the names of its outputs."""
        names = [f"v{self._count + i}" for i in range(outputs)]
        self._count += outputs
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, value: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Return the name of a constant; equal ones are kept once."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._constants[key] = name
            self.initialisers[name] = numpy_helper.from_array(array, name)
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """Return the name of a constant int64 vector."""
        return self.constant(values, np.int64)

    def tensor(self, value: Any, dtype: Any = torch.float32) -> str:
        """Return the name of an fx value; Python numbers become constants of ``dtype``."""
        if not isinstance(value, torch.fx.Node):
            return self.constant(value, NUMPY_TYPES[dtype])
        return self._cast(self.same(value), value, dtype)

    def same(self, value: Any) -> str:
        """Return the name of an fx tensor in its own type."""
        if value not in self.env:  # one of the numbers, and wanted at full size
            is_scalar = fake(value).dim() == 0
            self.env[value] = self.numbers[value] if is_scalar else self._lower(self, value)
        name: str = self.env[value]
        return name

    def is_number(self, value: Any) -> bool:
        """Whether :meth:`number` has a name for a value."""
        if not isinstance(value, torch.fx.Node) or value in self.numbers:
            return True
        return not isinstance(fake(value), torch.Tensor) or fake(value).dim() == 0

    def number(self, value: Any, dtype: Any) -> str:
        """Return the name of the number () that a value holds everywhere."""
        if value in self.numbers:
            return self._cast(self.numbers[value], value, dtype)
        return self.tensor(value, dtype)

    def operands(self, node: Any, *values: Any) -> list[str]:
        """Return the names of what an elementwise node takes, in the node's type.

        A number that a tensor holds everywhere is taken as it is where another
        operand has the shape of the result.
        """
        result = fake(node)
        whole = any(
            isinstance(value, torch.fx.Node)
            and value not in self.numbers
            and isinstance(fake(value), torch.Tensor)
            and fills(value, result.shape)
            for value in values
        )
        take = self.number if whole else self.tensor
        return [take(value, result.dtype) for value in values]

    def _cast(self, name: str, value: Any, dtype: Any) -> str:
        found = fake(value)
        kind = found.dtype if isinstance(found, torch.Tensor) else _scalar_dtype(found)
        return name if kind == dtype else self.op("Cast", name, to=ONNX_TYPES[dtype])

    def shape(self, sizes: Sequence[Any], *, infer: bool = True) -> str:
        """Return the name of an int64 vector of sizes, of which some may be fx values.

        With ``infer`` a single unknown size is written as -1, as Reshape reads it.
        """
        unknown = [size for size in sizes if isinstance(size, torch.fx.Node)]
        if not unknown:
            return self.ints(*sizes)
        if infer and len(unknown) == 1 and -1 not in sizes:
            return self.ints(*[-1 if isinstance(size, torch.fx.Node) else size for size in sizes])
        return self.op("Concat", *[self.vector(size) for size in sizes], axis=0)

    def vector(self, size: Any) -> str:
        """Return the name of an int64 vector of one entry."""
        if isinstance(size, torch.fx.Node):
            return self.op("Reshape", self.env[size], self.ints(1))
        return self.ints(size)


def emit(
    traced: Traced,
    outputs: Sequence[str],
    operators: dict[Any, Operator],
    *,
    external: Sequence[str] = (),
) -> bytes:
    """Write the traced graph as an ONNX model and check it.

    Inputs keep their names. Those in ``external`` become initialisers whose
    data lie outside the file and are handed over when a session is made.
    Raises UsageError for an operator that is not in ``operators``.
    """

    def lower(graph: Graph, node: Any) -> Any:
        return _operator(operators, node.target)(graph, node, *node.args, **node.kwargs)

    graph, inputs, results = Graph(lower), [], ()
    names = iter(traced.names)
    for node in traced.module.graph.nodes:
        if node.op == "placeholder":
            name = next(names)
            graph.env[node] = name
            sizes = _sizes(fake(node).shape)
            inputs.append(helper.make_tensor_value_info(name, _onnx_type(node), sizes))
        elif node.op == "get_attr":
            value = getattr(traced.module, node.target).detach()
            node.meta["val"] = value
            graph.env[node] = graph.constant(value.numpy(), NUMPY_TYPES[value.dtype])
        elif node.op == "call_function":
            number = number_of(graph, node)
            if number is None:
                graph.env[node] = lower(graph, node)
            else:
                graph.numbers[node] = number
        elif node.op == "output":
            results = node.args[0]
    infos = []
    for node, name in zip(results, outputs, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.same(node)], [name]))
        infos.append(
            helper.make_tensor_value_info(name, _onnx_type(node), _sizes(fake(node).shape))
        )
    return _model(graph, inputs, infos, external)


def _operator(operators: dict[Any, Operator], target: Any) -> Operator:
    if target not in operators:
        raise UsageError(
            f"the operator {target} has no ONNX form in edge-fd; write the layer or the loss with"
            " plain arithmetic, matmul, reductions, softmax, convolution and max pooling,"
            " and leave out dropout and other randomness"
        )
    return operators[target]


def _scalar_dtype(value: Any) -> Any:
    return torch.float32 if isinstance(value, (torch.SymFloat, float)) else torch.int64


def _sizes(shape: Sequence[Any]) -> list[Any]:
    return ["batch" if isinstance(size, torch.SymInt) else int(size) for size in shape]


def _onnx_type(node: Any) -> int:
    return ONNX_TYPES[fake(node).dtype]


def _model(graph: Graph, inputs: list[Any], outputs: list[Any], external: Sequence[str]) -> bytes:
    nodes = _without_repeats(_reachable(graph.nodes, {info.name for info in outputs}))
    nodes = _without_copies(nodes)
    reads = {name for node in nodes for name in node.input}
    for node in nodes:
        # An indices output that nobody reads keeps ONNX Runtime from its fast pooling.
        if node.op_type == "MaxPool" and node.output[1] not in reads:
            del node.output[1]
    constants = [tensor for name, tensor in graph.initialisers.items() if name in reads]
    proto = helper.make_graph(nodes, "edge-fd", inputs, outputs, constants)
    model = helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edge-fd",
    )
    onnx.checker.check_model(model, full_check=True)
    for info in [info for info in model.graph.input if info.name in external]:
        model.graph.input.remove(info)
        model.graph.initializer.append(_external(info))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _external(info: Any) -> Any:
    kind = info.type.tensor_type
    tensor = TensorProto(
        name=info.name,
        data_type=kind.elem_type,
        dims=[size.dim_value for size in kind.shape.dim],
        data_location=TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value=info.name)
    return tensor


def _reachable(nodes: list[Any], wanted: set[str]) -> list[Any]:
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _without_repeats(nodes: list[Any]) -> list[Any]:
    """A trace repeats reshapes, transposes and sizes: keep the first of equal nodes."""
    alias: dict[str, str] = {}
    seen: dict[Any, Any] = {}
    kept = []
    for node in nodes:
        node.input[:] = [alias.get(name, name) for name in node.input]
        attributes = sorted(attribute.SerializeToString() for attribute in node.attribute)
        key = (node.op_type, tuple(node.input), tuple(attributes), len(node.output))
        if key in seen and node.op_type != "Identity":
            alias.update(zip(node.output, seen[key].output, strict=True))
        else:
            seen[key] = node
            kept.append(node)
    return kept


def _without_copies(nodes: list[Any]) -> list[Any]:
    """Name an output where it is made; an input, or what is given out twice, is still copied."""
    made = {name for node in nodes if node.op_type != "Identity" for name in node.output}
    names: dict[str, str] = {}
    kept = []
    for node in nodes:
        if node.op_type == "Identity" and node.input[0] in made - set(names):
            names[node.input[0]] = node.output[0]
        else:
            kept.append(node)
    for node in kept:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return kept
