import pytest

from agent.releases.reasons import REASONS, Reason, as_reason, reason_of


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("not_finite", "bad_weights"),
        ("absurd_weights", "bad_weights"),
        ("wrong_tensors", "bad_weights"),
        ("unloadable_model", "does_not_load"),
        ("bad_answers", "does_not_load"),
        ("wrong_golden", "wrong_golden"),
        ("too_few_labels", "other"),
        ("", "other"),
    ],
)
def test_a_code_has_a_class(code: str, reason: Reason) -> None:
    assert reason_of(code) == reason


def test_a_class_is_read_again() -> None:
    assert [as_reason(reason) for reason in REASONS] == list(REASONS)
    assert as_reason("") == as_reason("nonsense") == "other"
