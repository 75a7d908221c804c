import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.releases.gate import GateRules, Outcome, Pair, decide

RULES = GateRules()


def _pair(new: float | None, old: float | None, n: int = 100, low: float = 0.01) -> Pair:
    return Pair("MAE", new, old, n, low, 2 * low, "2026-01-31")


def test_the_first_release_is_taken_if_its_errors_are_finite() -> None:
    assert decide({"logd": 9.0, "ames": None}, (), {}, RULES).taken
    assert decide({}, (), {}, RULES).taken
    verdict = decide({"logd": math.nan, "ames": 0.7}, (), {}, RULES)
    assert not verdict.taken
    assert verdict.reasons == ("logd: its error is not a finite number.",)


@pytest.mark.parametrize(
    ("pair", "outcome"),
    [
        (_pair(0.4, 0.5), "better"),
        (_pair(0.5, 0.5), "better"),
        (_pair(0.62, 0.5), "tolerated"),
        (_pair(0.63, 0.5), "worse"),
        (_pair(0.63, 0.5, low=0.0), "within_chance"),
        (_pair(0.63, 0.5, low=-0.1), "within_chance"),
        (_pair(0.63, 0.5, low=math.nan), "within_chance"),
        (_pair(0.1, 0.0), "worse"),
        (_pair(5.0, 0.5, n=19), "not_judged"),
        (_pair(5.0, 0.5, n=20), "worse"),
        (_pair(None, 0.5), "not_judged"),
        (_pair(5.0, None), "not_judged"),
        (None, "not_judged"),
    ],
)
def test_each_head_is_compared_with_the_active_model(pair: Pair | None, outcome: Outcome) -> None:
    verdict = decide({"head": 1.0}, {"head"}, {"head": pair} if pair else {}, RULES)
    assert verdict.per_head["head"].outcome == outcome
    assert verdict.taken is (outcome != "worse")
    assert verdict.per_head["head"].sentence.startswith("head: ")


def test_a_lost_head_refuses_and_a_new_one_does_not() -> None:
    rules = GateRules(heads_may_worsen=9)
    verdict = decide({"new": 1.0}, {"lost"}, {}, rules)
    assert not verdict.taken
    assert verdict.reasons == ("lost: the candidate lacks this head.",)
    assert verdict.per_head["new"].outcome == "new"


def test_one_bad_head_is_enough_and_is_named_with_its_figures() -> None:
    pairs = {
        "a": _pair(0.1, 0.5, low=-0.5),
        "b": Pair("MAE", 0.9, 0.5, 100, 0.3, 0.5, "2026-01-31"),
        "c": Pair("1-AUROC", 0.3, 0.1, 100, 0.1, 0.3),
    }
    verdict = decide(dict.fromkeys("abc", 1.0), {"a", "b", "c"}, pairs, RULES)
    assert verdict.reasons == (
        "b: MAE 0.5 -> 0.9 on 100 measurements since 2026-01-31: worse by 80% "
        "(95% interval 60% to 100%), the limit is 25%.",
        "c: 1-AUROC 0.1 -> 0.3 on 100 measurements: worse by 200% "
        "(95% interval 100% to 300%), the limit is 25%.",
    )
    assert verdict.per_head["a"].worsening == pytest.approx(-0.8)


def test_as_many_heads_may_worsen_as_the_site_says() -> None:
    pairs = {"a": _pair(0.9, 0.5), "b": _pair(0.9, 0.5)}
    errors = dict.fromkeys("ab", 1.0)
    assert not decide(errors, {"a", "b"}, pairs, GateRules(heads_may_worsen=1)).taken
    verdict = decide(errors, {"a", "b"}, pairs, GateRules(heads_may_worsen=2))
    assert verdict.taken
    assert {head.outcome for head in verdict.per_head.values()} == {"worse"}


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0, 2), st.floats(-1, 1))
def test_a_larger_limit_never_refuses_what_a_smaller_one_takes(
    new: float, old: float, limit: float, low: float
) -> None:
    pairs = {"h": _pair(new, old, low=low)}
    strict = decide({"h": new}, {"h"}, pairs, GateRules(max_worsening=limit))
    loose = decide({"h": new}, {"h"}, pairs, GateRules(max_worsening=limit + 0.1))
    assert loose.taken or not strict.taken
