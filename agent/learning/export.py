"""The ONNX file, built node by node from checked weights: nothing is traced, nothing executed.

Tracing exporters have turned scatter operations into silently wrong graphs; here every node is
written out, and parity with torch is a test. Equal arguments give equal bytes.

Inputs: `counts` float32 (n, hash_size), log1p counts, and `descriptors` float32 (n, d).
Output: `predictions` float32 (n, tasks), on the tasks' transformed scale, or probabilities.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from agent.errors import Refused
from agent.files import sha256_bytes, write_atomic
from agent.learning.tasks import TaskSpec
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.network import HEAD, LAYER_NORM_EPSILON, TRUNK, Weights, check_weights

_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # what came with opset 17: every runtime since 2022 reads it
_PAIR = ("weight", "bias")


def export_onnx(
    weights: Weights,
    network: NetworkSpec,
    features: FeatureSpec,
    tasks: Sequence[TaskSpec],
    path: Path,
) -> None:
    """Writes the model that serving loads.

    The metadata says all that a server needs: `onggi.tasks` (name, kind, unit, centre, spread of
    each column, as JSON), `onggi.features` (the feature spec, as JSON) and
    `onggi.feature_sha256`.

    Args:
        weights: Tensors of the trunk and of exactly these tasks' heads.
        network: What they belong to.
        features: What the inputs mean.
        tasks: The columns of the output, at least one.
        path: Where the file goes, all of it or nothing; its folder must exist.

    Raises:
        Refused: `no_head`, or as `check_weights`.
        OSError: The file cannot be written.
    """
    heads = [task.name for task in tasks]
    if not heads:
        raise Refused("no_head", "A model without a head predicts nothing; name a task.")
    check_weights(weights, network, features, heads)
    graph = _Graph()
    state = _trunk(graph, weights, len(network.hidden))
    _outputs(graph, _heads(graph, weights, heads, state), tasks)
    model = helper.make_model(
        graph.build(features.hash_size, len(features.descriptors), len(tasks)),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="onggi",
    )
    helper.set_model_props(model, _metadata(features, tasks))
    onnx.checker.check_model(model, full_check=True)
    write_atomic(path, model.SerializeToString(deterministic=True))


class _Graph:
    """Nodes and constants as they are added; every node has one output, named as it is called."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: float) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def build(self, hash_size: int, descriptors: int, tasks: int) -> onnx.GraphProto:
        return helper.make_graph(
            self.nodes,
            "onggi",
            [_matrix("counts", hash_size), _matrix("descriptors", descriptors)],
            [_matrix("predictions", tasks)],
            self.constants,
        )


def _matrix(name: str, columns: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns])


def _trunk(graph: _Graph, weights: Weights, layers: int) -> str:
    counts = graph.constant("counts.weight", weights[f"{TRUNK}counts.weight"])
    summed = graph.node("MatMul", ["counts", counts], "counts.sum")
    dense = _linear(graph, weights, f"{TRUNK}dense", "descriptors")
    state = graph.node("Add", [summed, dense], "layer0.sum")
    for layer in range(layers):
        if layer:
            state = _linear(graph, weights, f"{TRUNK}{layer}.linear", state)
        norm = f"{TRUNK}{layer}.norm"
        pair = [graph.constant(f"{norm}.{kind}", weights[f"{norm}.{kind}"]) for kind in _PAIR]
        state = graph.node(
            "LayerNormalization", [state, *pair], norm, axis=-1, epsilon=LAYER_NORM_EPSILON
        )
        state = graph.node("Relu", [state], f"layer{layer}.relu")
    return state


def _linear(graph: _Graph, weights: Weights, name: str, state: str) -> str:
    pair = [graph.constant(f"{name}.{kind}", weights[f"{name}.{kind}"]) for kind in _PAIR]
    return graph.node("Gemm", [state, *pair], name, transB=1)


def _heads(graph: _Graph, weights: Weights, heads: Sequence[str], state: str) -> str:
    pair = [
        graph.constant(
            f"heads.{kind}", np.concatenate([weights[f"{HEAD}{task}.{kind}"] for task in heads])
        )
        for kind in _PAIR
    ]
    return graph.node("Gemm", [state, *pair], "heads", transB=1)


def _outputs(graph: _Graph, state: str, tasks: Sequence[TaskSpec]) -> None:
    spread = graph.constant("spread", np.array([task.spread for task in tasks], np.float32))
    centre = graph.constant("centre", np.array([task.centre for task in tasks], np.float32))
    classes = graph.constant("classes", np.array([t.kind == "classification" for t in tasks]))
    widened = graph.node("Mul", [state, spread], "widened")
    values = graph.node("Add", [widened, centre], "values")
    probabilities = graph.node("Sigmoid", [state], "probabilities")
    graph.node("Where", [classes, probabilities, values], "predictions")


def _metadata(features: FeatureSpec, tasks: Sequence[TaskSpec]) -> dict[str, str]:
    columns = [
        {
            "name": task.name,
            "kind": task.kind,
            "unit": task.unit,
            "centre": task.centre,
            "spread": task.spread,
        }
        for task in tasks
    ]
    spec = features.to_bytes()
    return {
        "onggi.tasks": json.dumps(columns, sort_keys=True),
        "onggi.features": spec.decode(),
        "onggi.feature_sha256": sha256_bytes(spec),
    }
