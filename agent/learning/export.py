"""The ONNX file, built node by node from checked weights: nothing is traced, nothing executed.

Tracing exporters have turned scatter operations into silently wrong graphs; here every node is
written out, and parity with torch is a test. Equal arguments give equal bytes.

Inputs: `counts` float32 (n, hash_size), log1p counts, and `descriptors` float32 (n, d).
Outputs: `predictions` float32 (n, tasks), on the tasks' transformed scale, or probabilities;
`spread` float32 (n, tasks), the standard deviation between the members, 0 for a single one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from agent.files import sha256_bytes, write_atomic
from agent.learning.ensemble import Ensemble, Member
from agent.learning.tasks import TaskSpec
from agent.wire.documents import FeatureSpec
from agent.wire.network import HEAD, LAYER_NORM_EPSILON, TRUNK, Weights, check_weights

_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8  # what came with opset 17: every runtime since 2022 reads it
_PAIR = ("weight", "bias")


def export_onnx(
    ensemble: Ensemble, features: FeatureSpec, tasks: Sequence[TaskSpec], path: Path
) -> None:
    """Writes the model that serving loads: all members and their shares in one graph.

    The metadata says all that a server needs: `onggi.tasks` (name, kind, unit, centre, spread of
    each column, as JSON), `onggi.features` (the feature spec, as JSON) and
    `onggi.feature_sha256`.

    Args:
        ensemble: Members whose tensors are a trunk and heads of these tasks.
        features: What the inputs mean.
        tasks: The columns of the output, at least one.
        path: Where the file goes, all of it or nothing; its folder must exist.

    Raises:
        Refused: As `Ensemble.check` or `check_weights`.
        OSError: The file cannot be written.
        ValueError: As `Ensemble.check_sees_all`.
    """
    ensemble.check(tasks)
    ensemble.check_sees_all()
    graph = _Graph()
    answers = [
        _member(_Graph(f"member{number}.", graph), member, features, tasks)
        for number, member in enumerate(ensemble.members)
    ]
    _blend(graph, answers, ensemble.shares)
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
    """Nodes and constants as they are added; every node has one output, named as it is called.

    A member's part of the graph adds to the same lists, under names of its own.
    """

    def __init__(self, prefix: str = "", whole: "_Graph | None" = None) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = [] if whole is None else whole.nodes
        self.constants: list[onnx.TensorProto] = [] if whole is None else whole.constants

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        full = self._prefix + name
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), full))
        return full

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: float) -> str:
        full = self._prefix + output
        self.nodes.append(helper.make_node(kind, list(inputs), [full], full, **attributes))
        return full

    def build(self, hash_size: int, descriptors: int, tasks: int) -> onnx.GraphProto:
        return helper.make_graph(
            self.nodes,
            "onggi",
            [_matrix("counts", hash_size), _matrix("descriptors", descriptors)],
            [_matrix("predictions", tasks), _matrix("spread", tasks)],
            self.constants,
        )


def _matrix(name: str, columns: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns])


def _member(graph: _Graph, member: Member, features: FeatureSpec, tasks: Sequence[TaskSpec]) -> str:
    weights, heads = member.of_tasks(tasks), [task.name for task in tasks]
    check_weights(weights, member.network, features, heads)
    state = _trunk(graph, weights, len(member.network.hidden))
    return _values(graph, _heads(graph, weights, heads, state), tasks)


def _blend(graph: _Graph, answers: Sequence[str], shares: npt.NDArray[np.float32]) -> None:
    rows = [graph.constant(f"share{number}", row) for number, row in enumerate(shares)]
    mean = _weighted(graph, answers, rows, "predictions")
    squares = []
    for number, answer in enumerate(answers):
        distance = graph.node("Sub", [answer, mean], f"distance{number}")
        squares.append(graph.node("Mul", [distance, distance], f"square{number}"))
    graph.node("Sqrt", [_weighted(graph, squares, rows, "variance")], "spread")


def _weighted(graph: _Graph, parts: Sequence[str], shares: Sequence[str], output: str) -> str:
    taken = [
        graph.node("Mul", pair, f"{output}.part{number}")
        for number, pair in enumerate(zip(parts, shares, strict=True))
    ]
    return graph.node("Sum", taken, output)


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


def _values(graph: _Graph, state: str, tasks: Sequence[TaskSpec]) -> str:
    spread = graph.constant("width", np.array([task.spread for task in tasks], np.float32))
    centre = graph.constant("centre", np.array([task.centre for task in tasks], np.float32))
    classes = graph.constant("classes", np.array([t.kind == "classification" for t in tasks]))
    widened = graph.node("Mul", [state, spread], "widened")
    values = graph.node("Add", [widened, centre], "values")
    probabilities = graph.node("Sigmoid", [state], "probabilities")
    return graph.node("Where", [classes, probabilities, values], "answer")


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
