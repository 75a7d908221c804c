"""Why a release was not taken: a class that may leave the silo, for each code that does not."""

from typing import get_args

from agent.wire.verdict import Reason as Reason

REASONS: tuple[Reason, ...] = get_args(Reason)

_BAD_WEIGHTS = frozenset(
    {
        "wrong_object",
        "wrong_size",
        "wrong_hash",
        "wrong_heads",
        "bad_tensors",
        "wrong_tensors",
        "not_finite",
        "absurd_weights",
    }
)
_DOES_NOT_LOAD = frozenset({"unloadable_model", "wrong_graph", "bad_answers"})


def as_reason(text: str) -> Reason:
    """Reads a class that was written down; a word that is none is `other`."""
    return next((reason for reason in REASONS if reason == text), "other")


def reason_of(code: str) -> Reason:
    """Returns the class of a refusal's code; what nothing else fits is `other`."""
    if code in _BAD_WEIGHTS:
        return "bad_weights"
    if code in _DOES_NOT_LOAD:
        return "does_not_load"
    return "wrong_golden" if code == "wrong_golden" else "other"
