"""What PyTensor is told about our Ops: how Numba runs them, and when a pool needs no indices.

Numba can't call the drivers, which choose among kernels as Python does: it leaves its compiled code
for an Op's Python (object mode) and comes back. That takes some microseconds a call. PyTensor would
do the same unasked, but with a warning at every compilation.
"""

from __future__ import annotations

from typing import Any

import numba
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.link.numba.dispatch.basic import get_numba_type, numba_funcify, numba_njit
from pytensor.tensor.rewriting.basic import register_specialize

from .operations import MaxPool, Operation, OutputShape


@numba_funcify.register(Operation)
@numba_funcify.register(OutputShape)
def _through_python(op: Any, node: Any, **kwargs: Any) -> Any:
    types = [get_numba_type(output.type) for output in node.outputs]
    result_type = types[0] if len(types) == 1 else numba.types.Tuple(types)
    compute = op.compute

    @numba_njit
    def through_python(*inputs):  # type: ignore[no-untyped-def]
        with numba.objmode(result=result_type):
            result = compute(*inputs)
        return result

    return through_python


@register_specialize
@node_rewriter([MaxPool])
def max_pool_without_indices(fgraph: Any, node: Any) -> Any:
    """Return the pool that finds no indices, where nobody asks for them."""
    options = dict(node.op.options)
    if not options["return_indices"] or fgraph.clients[node.outputs[1]]:
        return None
    options["return_indices"] = False
    maxima = MaxPool(node.op.function, tuple(options.items()))(*node.inputs)
    return {node.outputs[0]: maxima}
