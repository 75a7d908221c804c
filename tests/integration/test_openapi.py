"""Schemathesis reads predict's OpenAPI document and asks what it allows, and what it does not."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from tests.kit.predicting import Predict, running


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predict]:
    with running(tmp_path_factory.mktemp("predict"), level=1.0) as made:
        yield made


@pytest.fixture(scope="module")
def document(predict: Predict) -> Any:  # noqa: ANN401 - it has no public type
    return schemathesis.openapi.from_url(
        f"http://127.0.0.1:{predict.status()['port']}/openapi.json"
    )


# What predict takes is laxer than its document in places, and stricter in others ("give one of
# the two"); and no token is asked for on loopback.
OTHERS = [ignored_auth, negative_data_rejection, positive_data_acceptance]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.mark.slow
def test_every_answer_is_as_documented_and_none_is_a_fault(document: Any) -> None:  # noqa: ANN401
    asked = set()
    for found in document.get_all_operations():
        operation = found.ok()
        asked.add(operation.label)
        for mode in MODES:
            _ask(operation, mode)
    assert {"POST /v1/predict", "POST /v2/models/onggi/infer", "GET /v1/model"} <= asked


def _ask(operation: Any, mode: GenerationMode) -> None:  # noqa: ANN401 - it has no public type
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(excluded_checks=OTHERS)

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong where nothing is sent
        ask()
