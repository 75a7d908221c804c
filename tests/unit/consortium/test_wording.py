"""What officers are told of a plan's privacy before they sign it."""

from typing import TYPE_CHECKING

import pytest

from agent.wire.documents import LocalNoise, MaskRules, Plan, Privacy, SharedNoise
from agent.wire.signed import sign
from consortium.proposals import propose
from consortium.wording import describe_proposal

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House

_RULES = MaskRules(n_min=5, clip=0.02)
_LOCAL = LocalNoise(epsilon=3.0, delta=1e-5, clip=1.0, sampling_rate=0.1)
_SHARED = SharedNoise(
    masking=_RULES, epsilon=3.0, delta=1e-5, noise=2.0, clip=1.0, sampling_rate=0.1
)


@pytest.mark.parametrize(
    ("privacy", "weighting", "words"),
    [
        (Privacy(), "n", "privacy none"),
        (_LOCAL, "uniform", "dp_sgd, epsilon 3 at delta 1e-05 for all rounds"),
        (
            Privacy(masking=_RULES),
            "n",
            "none, masked sums of 5 silos or more, each adding at most weight 1000 x 0.02",
        ),
        (
            _SHARED,
            "uniform",
            "shared_noise, epsilon 3 at delta 1e-05 for all rounds, masked sums of 5 silos or "
            "more, each adding at most weight 1 x 0.02",
        ),
    ],
)
def test_a_plans_privacy_is_said_in_words(
    house: "House", privacy: Privacy | LocalNoise | SharedNoise, weighting: str, words: str
) -> None:
    house.enrol("a", "b")
    plan = house.plan()
    recipe = plan.recipe.model_copy(update={"weighting": weighting, "weight_cap": 1000.0})
    asked: Plan = plan.model_copy(update={"privacy": privacy, "recipe": recipe})
    signed = sign("plan", asked.to_bytes(), *house.officers)
    proposal = propose(house.folder.trust_root.read_bytes(), [signed])
    (line,) = (one for one in describe_proposal(proposal) if one.startswith("Plan "))
    assert line.endswith(words)
