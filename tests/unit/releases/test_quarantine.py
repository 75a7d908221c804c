from agent.releases.quarantine import Case, held, sentence
from agent.releases.reasons import Reason

A, B, GOLDEN = "a" * 64, "b" * 64, "c" * 64


def _case(reason: Reason, golden: str | None = GOLDEN) -> Case:
    return Case("r1", A, golden, reason, "It is worse.", "2026-03-04T05:06:07Z")


def test_the_same_weights_are_held_under_another_name() -> None:
    case = _case("worse")
    assert held(A, GOLDEN, [case]) is case
    assert held(A, None, [case]) is case
    assert held(B, GOLDEN, [case]) is None
    assert held(A, GOLDEN, []) is None


def test_the_first_case_is_told() -> None:
    first, second = _case("bad_weights"), _case("worse")
    assert held(A, None, [first, second]) is first


def test_what_could_not_be_checked_is_not_held() -> None:
    assert held(A, GOLDEN, [_case("other")]) is None


def test_wrong_golden_answers_hold_the_weights_only_beside_them() -> None:
    """The publisher may have sent good weights with wrong answers, and send the right ones next."""
    case = _case("wrong_golden")
    assert held(A, GOLDEN, [case]) is case
    assert held(A, B, [case]) is None
    assert held(A, None, [case]) is None


def test_a_person_may_release_weights() -> None:
    assert held(A, GOLDEN, [_case("worse")], {A}) is None
    assert held(A, GOLDEN, [_case("worse")], {B}) is not None


def test_the_sentence_names_the_earlier_release_its_day_and_its_reason() -> None:
    said = sentence(_case("worse"))
    assert said.startswith("The same weights were refused as r1 on 2026-03-04: It is worse.")
    assert "gate.let_pass" in said
