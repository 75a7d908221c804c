import math

import pytest

from agent.assays.endpoints import transform
from agent.wire.documents import Endpoint
from agent.wire.scale import head_scale, range_scale
from consortium.catalogue import default_catalogue

ENDPOINTS = default_catalogue("kit").endpoints


@pytest.mark.parametrize(
    ("low", "high", "centre", "spread"),
    [
        (-2.0, 6.0, 2.0, 2.0),
        (6.0, -2.0, 2.0, 2.0),  # -log10 flips the range
        (-math.inf, 3.0, 1.0, 1.0),  # log10(0)
        (math.inf, 3.0, 5.0, 1.0),  # -log10(0)
        (1.0, 1.0, 1.0, 0.05),
        (-math.inf, math.inf, 0.0, 1.0),
        (math.nan, math.nan, 0.0, 1.0),
    ],
)
def test_the_scaling_follows_the_plausible_range(
    low: float, high: float, centre: float, spread: float
) -> None:
    assert range_scale(low, high) == pytest.approx((centre, spread))


def _endpoint(transform_: str, low: float, high: float, kind: str = "regression") -> Endpoint:
    return Endpoint.model_validate(
        {
            "id": "x",
            "name": "X",
            "group": "A",
            "kind": kind,
            "transform": transform_,
            "low": low,
            "high": high,
        }
    )


@pytest.mark.parametrize(
    ("endpoint", "scale"),
    [
        (_endpoint("identity", -2.0, 6.0), (2.0, 2.0)),
        (_endpoint("log10", 0.0, 1000.0), (1.0, 1.0)),
        (_endpoint("log10", 0.1, 1000.0), (1.0, 1.0)),
        (_endpoint("log10_plus_1", -5.0, 9999.0), (2.0, 1.0)),
        (_endpoint("neg_log10_molar", 0.0, 1e3), (5.0, 1.0)),
        (_endpoint("neg_log10_molar", 1.0, 1e6), (3.0, 1.5)),
        (_endpoint("identity", 0.0, 1.0, "classification"), (0.0, 1.0)),
    ],
)
def test_an_endpoint_has_its_scale(endpoint: Endpoint, scale: tuple[float, float]) -> None:
    assert head_scale(endpoint) == pytest.approx(scale, abs=1e-3)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.id)
def test_the_ends_are_those_that_values_are_transformed_to(endpoint: Endpoint) -> None:
    """What trains and what states the scale on the wire are two modules; they must agree."""
    centre, spread = head_scale(endpoint)
    if endpoint.kind == "regression":
        top = transform(endpoint.high, endpoint)
        assert min(abs(top - (centre + 2 * spread)), abs(top - (centre - 2 * spread))) < 1e-9
