"""The table of operators: what each aten operator becomes in ONNX (default domain, opset 18).

    arithmetic  elementwise operators, reductions, products, softmax
    shapes      constants, views, joins, and sizes that follow the batch
    layers      convolution, pooling, padding

An entry takes the growing graph, the fx node and the operator's own arguments,
and returns the name of the result (or a list of names).
"""

from __future__ import annotations

from edge_fd.exporter import arithmetic, layers, shapes

OPERATORS = arithmetic.OPERATORS | shapes.OPERATORS | layers.OPERATORS
