from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.assays.endpoints import EndpointIndex
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keeper.orders import ReleaseOrder
from agent.keeper.work.golden import check_golden, check_served
from agent.keeper.work.problem import load_problem, task_spec
from agent.keeper.work.release import build_release
from agent.learning.ensemble import Ensemble
from agent.learning.export import export_onnx
from agent.wire.golden import Golden
from agent.wire.network import initial_weights
from agent.wire.update import Weights
from consortium.golden import golden_of
from tests.kit.consortium import FEATURES, HEADS, NETWORK

if TYPE_CHECKING:
    from tests.unit.keeper.work.conftest import Bench

WEIGHTS = initial_weights(NETWORK, FEATURES, HEADS)


def _golden(bench: "Bench", **changes: object) -> Golden:
    plan, catalogue = bench.consortium.plan_document(), bench.consortium.catalogue
    return golden_of(WEIGHTS, plan, catalogue).model_copy(update=changes)


def _order(bench: "Bench", golden: Golden | None) -> ReleaseOrder:
    order = bench.release_order(bench.frozen())
    if golden is None:
        return order
    content = golden.to_bytes()
    path = bench.root / sha256_bytes(content)
    path.write_bytes(content)
    named = {"golden_sha256": sha256_bytes(content), "golden_bytes": len(content)}
    manifest = order.manifest.model_copy(update=named)
    return order.model_copy(update={"manifest": manifest, "golden": str(path)})


def _check(bench: "Bench", order: ReleaseOrder, weights: Weights = WEIGHTS) -> None:
    index = EndpointIndex(order.catalogue)
    endpoints = {head: index.endpoint(head) for head in HEADS}
    check_golden(order, weights, endpoints, bench.folder("golden"))


def test_a_release_that_answers_as_its_maker_says_passes(bench: "Bench") -> None:
    _check(bench, _order(bench, _golden(bench)))
    assert not list((bench.root / "golden").iterdir())


def test_a_release_without_golden_molecules_passes(bench: "Bench") -> None:
    _check(bench, _order(bench, None))


def test_wrong_golden_answers_refuse_the_release_before_anything_is_fitted(bench: "Bench") -> None:
    right = _golden(bench)
    wrong = ((right.expected[0][0] + 1.0, right.expected[0][1]), *right.expected[1:])
    order = _order(bench, _golden(bench, expected=wrong))
    bench.reports.clear()
    with pytest.raises(Refused, match="1 of 24, first in logbb") as refused:
        build_release(order, bench.root, bench.report)
    assert refused.value.code == "wrong_golden"
    assert bench.reports == []


def test_weights_that_were_not_meant_are_refused(bench: "Bench") -> None:
    other = {**WEIGHTS, "head.logbb.bias": np.full(1, 0.5, np.float32)}
    with pytest.raises(Refused, match="24 of 24, first in logbb") as refused:
        _check(bench, _order(bench, _golden(bench)), other)
    assert refused.value.code == "wrong_golden"


def test_other_features_than_the_publishers_are_refused(bench: "Bench") -> None:
    with pytest.raises(Refused, match="other features") as refused:
        _check(bench, _order(bench, _golden(bench, rows_sha256="0" * 64)))
    assert refused.value.code == "wrong_golden"


def test_an_object_that_was_exchanged_is_refused(bench: "Bench") -> None:
    order = _order(bench, _golden(bench))
    Path(order.golden).write_bytes(b"{}")
    with pytest.raises(Refused, match="wrong_object"):
        _check(bench, order)


def test_the_graph_that_will_serve_is_compared_with_its_weights(bench: "Bench") -> None:
    order = _order(bench, None)
    problem = load_problem(order)
    index = EndpointIndex(order.catalogue)
    tasks = [task_spec(head, index.endpoint(head)) for head in HEADS]
    ensemble = Ensemble.of_one(WEIGHTS, NETWORK, len(tasks))
    path = bench.root / "model.onnx"
    export_onnx(ensemble, FEATURES, tasks, path)
    check_served(path, ensemble, order, problem.features, tasks)
    other = {**WEIGHTS, "head.logbb.bias": np.full(1, 0.5, np.float32)}
    strange = Ensemble.of_one(other, NETWORK, len(tasks))
    with pytest.raises(Refused, match="bad_answers"):
        check_served(path, strange, order, problem.features, tasks)
