"""A plan's networks when there is more than one: members that rounds train in turn.

Members differ in their first weights. A tensor of member 0 bears its plain name, one of member K is
`K/NAME`; round N trains member (N - 1) mod members and its update holds that member's tensors only,
so several cost a round no more than one. A release has them all, and answers with their mean
(Hansen and Salamon 1990, IEEE PAMI 12:993: an ensemble errs less than its members).
"""

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

_PREFIX = re.compile(r"[1-9][0-9]*/")


def bare(name: str) -> str:
    """Returns a tensor's name without its member."""
    return name[len(prefix_in(name)) :]


def prefix_in(name: str) -> str:
    """Returns what names the member in a tensor's name: `2/`, or nothing for member 0."""
    found = _PREFIX.match(name)
    return found[0] if found else ""


def of_member(tensors: Mapping[str, T], member: int) -> dict[str, T]:
    """Returns one member's tensors under their plain names."""
    prefix = _prefix(member)
    return {bare(name): value for name, value in tensors.items() if prefix_in(name) == prefix}


def as_member(tensors: Mapping[str, T], member: int) -> dict[str, T]:
    """Returns tensors of plain names under those of a member."""
    return {_prefix(member) + name: value for name, value in tensors.items()}


def member_of_round(number: int, members: int) -> int:
    """Returns which member a round trains; rounds count from 1, members from 0."""
    return (number - 1) % members


def turn_of_round(number: int, rounds: int, members: int) -> tuple[int, int]:
    """Returns how often the round's member was trained before, and how often it will be in all."""
    return (number - 1) // members, len(range(member_of_round(number, members), rounds, members))


def _prefix(member: int) -> str:
    return f"{member}/" if member else ""
