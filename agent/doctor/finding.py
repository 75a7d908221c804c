"""What one check found."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "failed", "not here"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and how it ended.

    Attributes:
        name: A stable snake_case word for machines.
        outcome: `not here` where the host has nothing to check: no GPU, no store.
        said: A sentence; of a failure it says what to do.
    """

    name: str
    outcome: Outcome
    said: str


def ok(name: str, said: str) -> Finding:
    """Returns that all is as it should be."""
    return Finding(name, "ok", said)


def failed(name: str, said: str) -> Finding:
    """Returns a failure; the sentence says what to do."""
    return Finding(name, "failed", said)


def not_here(name: str, said: str) -> Finding:
    """Returns that there is nothing to check, and why."""
    return Finding(name, "not here", said)
