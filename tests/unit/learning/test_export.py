from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.learning.ensemble import Ensemble, Member, predict_ensemble
from agent.learning.export import export_onnx
from agent.learning.score import predict
from agent.wire.documents import FeatureSpec
from agent.wire.network import initial_weights

if TYPE_CHECKING:
    from pathlib import Path

    from agent.wire.network import Weights
    from tests.unit.learning.conftest import Problem


def _trained(problem: Problem) -> Weights:
    random = np.random.default_rng(5)
    return {
        name: tensor + random.normal(0, 0.1, tensor.shape).astype(np.float32)
        for name, tensor in problem.start().items()
    }


def _export(problem: Problem, weights: Weights, path: Path) -> None:
    one = Ensemble.of_one(weights, problem.network, len(problem.tasks))
    export_onnx(one, problem.spec, problem.tasks, path)


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("size", [1, 7, 256])
def test_the_exported_model_agrees_with_torch(problem: Problem, path: Path, size: int) -> None:
    weights = _trained(problem)
    _export(problem, weights, path)
    rows = problem.features.take(np.arange(size))
    (found,) = _session(path).run(
        ["predictions"], {"counts": rows.counts, "descriptors": rows.dense}
    )
    expected = predict(weights, problem.network, rows, problem.tasks, "cpu")
    # On the heads' scale: a spread of 100 multiplies float32's own error.
    spread = np.array([task.spread for task in problem.tasks], np.float32)
    assert found.shape == (size, 3)
    assert found.dtype == np.float32
    assert abs((found - expected) / spread).max() < 1e-5


def test_a_network_of_one_layer_exports_too(problem: Problem, path: Path) -> None:
    flat = problem.network.model_copy(update={"hidden": (16,)})
    weights = {
        name: tensor[..., :16] if "counts" in name else tensor[:16]
        for name, tensor in _trained(problem).items()
        if "trunk.1" not in name
    }
    for task in problem.tasks:
        weights[f"head.{task.name}.weight"] = np.ones((1, 16), np.float32)
    export_onnx(
        Ensemble.of_one(weights, flat, len(problem.tasks)), problem.spec, problem.tasks, path
    )
    inputs = {"counts": problem.features.counts, "descriptors": problem.features.dense}
    found, spread = _session(path).run(None, inputs)
    assert not spread.any()  # a single network agrees with itself
    expected = predict(weights, flat, problem.features, problem.tasks, "cpu")
    assert found == pytest.approx(expected, abs=1e-3)


def test_the_metadata_says_what_a_server_needs(problem: Problem, path: Path) -> None:
    _export(problem, _trained(problem), path)
    metadata = _session(path).get_modelmeta().custom_metadata_map
    columns = json.loads(metadata["onggi.tasks"])
    assert [column["name"] for column in columns] == [task.name for task in problem.tasks]
    assert columns[1] == {
        "name": "private:narrow.x",
        "kind": "regression",
        "unit": "uM",
        "centre": 3.0,
        "spread": 2.0,
    }
    assert FeatureSpec.parse(metadata["onggi.features"].encode()) == problem.spec
    assert metadata["onggi.feature_sha256"] == sha256_bytes(problem.spec.to_bytes())


def test_versions_are_pinned_and_equal_input_gives_equal_bytes(
    problem: Problem, path: Path
) -> None:
    _export(problem, _trained(problem), path)
    first = path.read_bytes()
    _export(problem, _trained(problem), path)
    assert path.read_bytes() == first
    model = onnx.load_from_string(first)
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)


def test_weights_that_do_not_fit_leave_no_file(problem: Problem, path: Path) -> None:
    weights = _trained(problem)
    weights["trunk.dense.bias"][3] = np.nan
    with pytest.raises(Refused, match="not_finite"):
        _export(problem, weights, path)
    with pytest.raises(Refused, match="no_head"):
        export_onnx(Ensemble.of_one(weights, problem.network, 0), problem.spec, (), path)
    assert not path.exists()


def _ensemble(problem: Problem) -> Ensemble:
    """Three members, one of them narrower and without the first head."""
    narrow = problem.network.model_copy(update={"hidden": (24, 8), "seed": 9})
    names = [task.name for task in problem.tasks]
    return Ensemble(
        (
            Member(problem.network, _trained(problem)),
            Member(problem.network, problem.start()),
            Member(narrow, initial_weights(narrow, problem.spec, names[1:])),
        ),
        np.array([[0.75, 0.5, 0.2], [0.25, 0.0, 0.5], [0.0, 0.5, 0.3]], np.float32),
    )


@pytest.mark.parametrize("size", [1, 7, 256])
def test_an_exported_ensemble_agrees_with_torch(problem: Problem, path: Path, size: int) -> None:
    ensemble = _ensemble(problem)
    export_onnx(ensemble, problem.spec, problem.tasks, path)
    rows = problem.features.take(np.arange(size))
    mean, spread = _session(path).run(
        ["predictions", "spread"], {"counts": rows.counts, "descriptors": rows.dense}
    )
    answer = predict_ensemble(ensemble, rows, problem.tasks, "cpu")
    width = np.array([task.spread for task in problem.tasks], np.float32)
    assert abs((mean - answer.mean) / width).max() < 1e-5
    assert abs((spread - answer.spread) / width).max() < 1e-5
    assert spread.dtype == np.float32
    assert (spread > 0).all()


def test_equal_ensembles_give_equal_bytes(problem: Problem, path: Path) -> None:
    export_onnx(_ensemble(problem), problem.spec, problem.tasks, path)
    first = path.read_bytes()
    export_onnx(_ensemble(problem), problem.spec, problem.tasks, path)
    assert path.read_bytes() == first


def test_a_member_that_sees_a_part_only_is_not_exported(problem: Problem, path: Path) -> None:
    member = Member(problem.network, problem.start(), view=(0, 256))
    alone = Ensemble((member,), np.ones((1, len(problem.tasks)), np.float32))
    with pytest.raises(ValueError, match="read all columns"):
        export_onnx(alone, problem.spec, problem.tasks, path)
    assert not path.exists()


def test_a_member_whose_tensors_do_not_fit_is_refused(problem: Problem, path: Path) -> None:
    ensemble = _ensemble(problem)
    ensemble.members[2].weights["trunk.dense.bias"] = np.zeros(32, np.float32)
    with pytest.raises(Refused, match="wrong_tensors"):
        export_onnx(ensemble, problem.spec, problem.tasks, path)
    assert not path.exists()
