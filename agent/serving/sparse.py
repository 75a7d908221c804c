"""The first layer apart from the graph: a molecule sets some 60 of 2,048 columns, the rest are 0.

The graph as exported multiplies by every row of the first weights, which have to come from memory
for a single molecule: 12 MB for three members, about 1 ms. Here only the rows that count are added
up, and the graph goes on from there. Each molecule is summed by itself, so that its numbers do not
depend on its company.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from agent.errors import Refused
from agent.features.rows import Features

SUMS = "counts.sums"
COUNTS = "counts"  # what the graph reads as it was exported

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FirstLayer:
    """The first weights of every member, side by side.

    Attributes:
        weights: float32 (hash_size, all widths).
    """

    weights: Floats

    def sums(self, features: Features) -> Floats:
        """Returns what the graph goes on from, float32 (n, all widths)."""
        found = np.zeros((len(features), self.weights.shape[1]), np.float32)
        for row, (start, end) in enumerate(_pairs(features.indptr)):
            # Not a matrix product: BLAS would wake a thread for each core.
            rows = self.weights[features.indices[start:end]]
            np.einsum("k,kj->j", features.values[start:end], rows, out=found[row])
        return found


def take_apart(path: Path) -> tuple[FirstLayer, bytes]:
    """Reads a graph that `agent.learning.export` wrote and takes its first layer out.

    Returns:
        The layer, and a graph that reads its sums as `counts.sums` instead of `counts`.

    Raises:
        Refused: `unloadable_model`: it cannot be read; `wrong_graph`: its counts go elsewhere than
            into first layers.
    """
    # onnx's and protobuf's errors share no base below Exception.
    try:
        model = onnx.load(path)
    except Exception as error:
        raise Refused("unloadable_model", f"{path.name} is no graph; build it again.") from error
    first = [node for node in model.graph.node if COUNTS in node.input]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if not first or any(not _is_first(node, constants) for node in first):
        raise Refused("wrong_graph", "The graph's first layers are not as built; build it again.")
    layers = [numpy_helper.to_array(constants[node.input[1]]) for node in first]
    if len({layer.shape[0] for layer in layers}) != 1 or any(part.ndim != 2 for part in layers):
        raise Refused("wrong_graph", "The graph's first layers differ; build it again.")
    _go_on_from_sums(model.graph, first, [layer.shape[1] for layer in layers])
    weights = np.ascontiguousarray(np.concatenate(layers, axis=1), np.float32)
    return FirstLayer(weights), model.SerializeToString()


def _is_first(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    fits = node.op_type == "MatMul" and len(node.input) == 2 and node.input[0] == COUNTS
    return bool(fits and node.input[1] in constants)


def _go_on_from_sums(
    graph: onnx.GraphProto, first: list[onnx.NodeProto], widths: list[int]
) -> None:
    """Puts a cut of the sums in the place of each product."""
    gone = {node.input[1] for node in first}
    kept = [tensor for tensor in graph.initializer if tensor.name not in gone]
    sizes = numpy_helper.from_array(np.array(widths, np.int64), f"{SUMS}.widths")
    cut = helper.make_node(
        "Split", [SUMS, sizes.name], [node.output[0] for node in first], SUMS, axis=1
    )
    nodes = [cut, *(node for node in graph.node if COUNTS not in node.input)]
    reads = helper.make_tensor_value_info(SUMS, onnx.TensorProto.FLOAT, ["n", sum(widths)])
    inputs = [reads if entry.name == COUNTS else entry for entry in graph.input]
    for field, entries in (("initializer", [*kept, sizes]), ("node", nodes), ("input", inputs)):
        graph.ClearField(field)
        getattr(graph, field).extend(entries)


def _pairs(starts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    return zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
