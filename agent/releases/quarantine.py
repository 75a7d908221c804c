"""Refused weights stay refused, under whatever name they come again. Pure.

A release is known by what it is made of, not by its id: an id and a version are free to whoever
publishes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agent.releases.reasons import Reason


@dataclass(frozen=True, slots=True)
class Case:
    """A release that was refused or rolled back.

    Attributes:
        release_id: As which it came.
        weights_sha256, golden_sha256: What it was made of; no golden molecules are None.
        reason: The class of why.
        why: The sentence.
        when: RFC 3339.
    """

    release_id: str
    weights_sha256: str
    golden_sha256: str | None
    reason: Reason
    why: str
    when: str


def held(
    weights_sha256: str,
    golden_sha256: str | None,
    cases: Sequence[Case],
    let_pass: Collection[str] = (),
) -> Case | None:
    """Returns the first case against a release of this content, or None.

    `other` holds nothing: what could not be checked may be checked another time. Wrong golden
    answers hold the weights only beside these answers: either of the two may be the wrong one.

    Args:
        weights_sha256: Of the release that has come.
        golden_sha256: Of its golden molecules, if it has any.
        cases: Oldest first.
        let_pass: Weights that a person has released from quarantine.
    """
    if weights_sha256 in let_pass:
        return None
    for case in cases:
        if case.weights_sha256 != weights_sha256 or case.reason == "other":
            continue
        if case.reason != "wrong_golden" or case.golden_sha256 == golden_sha256:
            return case
    return None


def sentence(case: Case) -> str:
    """Says why a release is refused at once."""
    return (
        f"The same weights were refused as {case.release_id} on {case.when[:10]}: {case.why} "
        "To have them checked again, name their hash in gate.let_pass."
    )
