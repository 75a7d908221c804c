import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.releases.gate import GateRules, Outcome, Score, decide

RULES = GateRules()


def _mae(value: float | None, n: int = 100) -> Score:
    return Score("mae", value, n, higher_is_better=False)


def _auroc(value: float, n: int = 100) -> Score:
    return Score("auroc", value, n, higher_is_better=True)


def test_the_first_release_is_taken_if_its_scores_are_finite() -> None:
    assert decide({"logd": _mae(9.0), "ames": _auroc(0.1)}, None, RULES).taken
    assert decide({}, None, RULES).taken
    verdict = decide({"logd": _mae(math.nan), "ames": _auroc(0.7)}, None, RULES)
    assert not verdict.taken
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith("logd: ")


@pytest.mark.parametrize(
    ("new", "old", "outcome"),
    [
        (_mae(0.4), _mae(0.5), "better"),
        (_mae(0.5), _mae(0.5), "better"),
        (_mae(0.62), _mae(0.5), "tolerated"),
        (_mae(0.63), _mae(0.5), "worse"),
        (_mae(0.1), _mae(0.0), "worse"),
        (_auroc(0.9), _auroc(0.8), "better"),
        (_auroc(0.7), _auroc(0.8), "tolerated"),
        (_auroc(0.5), _auroc(0.8), "worse"),
        (_mae(5.0, n=19), _mae(0.5), "not_judged"),
        (_mae(5.0, n=20), _mae(0.5), "worse"),
        (_mae(5.0), _auroc(0.5), "not_judged"),
        (_mae(5.0), _mae(math.inf), "not_judged"),
        (_mae(5.0), _mae(None), "not_judged"),
        (_mae(None), _mae(0.5), "not_judged"),
        (_mae(None, n=0), None, "new"),
        (_mae(math.inf, n=1), _mae(0.5), "not_finite"),
    ],
)
def test_each_head_is_compared_with_the_active_model(
    new: Score, old: Score | None, outcome: Outcome
) -> None:
    verdict = decide({"head": new}, {"head": old} if old else {}, RULES)
    assert verdict.per_head["head"].outcome == outcome
    assert verdict.taken is (outcome not in {"worse", "not_finite"})
    assert verdict.per_head["head"].sentence.startswith("head: ")


def test_a_lost_head_refuses_and_a_new_one_does_not() -> None:
    verdict = decide({"new": _mae(1.0)}, {"lost": _mae(1.0)}, RULES)
    assert not verdict.taken
    assert verdict.reasons == ("lost: the candidate lacks this head.",)
    assert verdict.per_head["new"].outcome == "new"


def test_one_bad_head_is_enough_and_is_named_with_its_figures() -> None:
    verdict = decide({"a": _mae(0.1), "b": _mae(0.9)}, {"a": _mae(0.5), "b": _mae(0.5)}, RULES)
    assert verdict.reasons == (
        "b: mae 0.5 -> 0.9 on 100 measurements: worse by 80%, the limit is 25%.",
    )
    assert verdict.per_head["a"].worsening == pytest.approx(-0.8)


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 2))
def test_a_larger_limit_never_refuses_what_a_smaller_one_takes(
    new: float, old: float, limit: float
) -> None:
    strict = decide({"h": _mae(new)}, {"h": _mae(old)}, GateRules(max_worsening=limit))
    loose = decide({"h": _mae(new)}, {"h": _mae(old)}, GateRules(max_worsening=limit + 0.1))
    assert loose.taken or not strict.taken
