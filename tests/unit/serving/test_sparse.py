from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.reference import REFERENCE_SMILES
from agent.features.rows import Features
from agent.learning.ensemble import Ensemble, Member
from agent.learning.export import export_onnx
from agent.learning.tasks import TaskSpec
from agent.releases.card import ModelCard
from agent.releases.folder import MODEL
from agent.serving.sparse import SUMS, Floats, take_apart
from agent.wire.documents import NetworkSpec
from agent.wire.network import initial_weights
from tests.unit.serving.conftest import FEATURES

Build = Callable[..., ModelCard]
OUTPUTS = ["predictions", "spread"]
TASKS = [TaskSpec("logd", "regression"), TaskSpec("bbb", "classification")]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Three members of different widths."""
    networks = [
        NetworkSpec(hidden=hidden, dropout=0.0, seed=seed)
        for seed, hidden in enumerate(((32, 16), (24,), (32, 8)), start=1)
    ]
    names = [task.name for task in TASKS]
    members = tuple(
        Member(network, initial_weights(network, FEATURES, names)) for network in networks
    )
    shares = np.full((len(members), len(TASKS)), 1 / 3, np.float32)
    path = tmp_path / MODEL
    export_onnx(Ensemble(members, shares), FEATURES, TASKS, path)
    return path


@pytest.fixture
def features() -> Features:
    return Featurizer(FEATURES).featurize_smiles([*REFERENCE_SMILES, "no structure"])[0]


def _run(graph: bytes, inputs: dict[str, object]) -> list[Floats]:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found: list[Floats] = session.run(OUTPUTS, inputs)
    return found


def test_both_halves_answer_what_the_whole_answers(graph: Path, features: Features) -> None:
    counts = features.dense_counts(FEATURES.hash_size)
    whole = _run(graph.read_bytes(), {"counts": counts, "descriptors": features.dense})
    first, rest = take_apart(graph)
    assert first.weights.shape == (FEATURES.hash_size, 32 + 24 + 32)
    halves = _run(rest, {SUMS: first.sums(features), "descriptors": features.dense})
    for expected, found in zip(whole, halves, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_sum_is_the_same_in_any_company(graph: Path, features: Features) -> None:
    first, _ = take_apart(graph)
    together = first.sums(features)
    for row in range(len(features)):
        alone = first.sums(features.take(np.array([row])))
        assert alone.tobytes() == together[row : row + 1].tobytes()
    assert not together[-1].any()  # nothing is counted in a structure that is none


def test_what_is_no_graph_is_refused(graph: Path) -> None:
    content = graph.read_bytes()
    for damaged in (b"", b"no graph", content[: len(content) // 2]):
        graph.unlink()
        graph.write_bytes(damaged)
        with pytest.raises(Refused, match=r"unloadable_model|wrong_graph"):
            take_apart(graph)
    graph.unlink()
    with pytest.raises(Refused, match="unloadable_model"):
        take_apart(graph)


def test_counts_that_go_elsewhere_are_refused(graph: Path) -> None:
    model = onnx.load(graph)
    model.graph.node.append(helper.make_node("Relu", ["counts"], ["elsewhere"]))
    onnx.save(model, graph)
    with pytest.raises(Refused, match="wrong_graph"):
        take_apart(graph)
