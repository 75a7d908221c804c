"""The differencing rule: what a silo has unmasked limits what else it helps to unmask.

Two sums on one base whose participants differ by few silos tell, by subtraction, those few. Only
silos that count are compared: puppets could make any two sets look different.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from agent.errors import Refused
from agent.wire.document import Document, Name, Sha256
from agent.wire.masking.documents import MAX_SILOS

_Silos = Annotated[tuple[Name, ...], Field(max_length=MAX_SILOS)]


class Past(Document):
    """A sum that this silo has helped to unmask.

    Attributes:
        round_id: Which.
        base_sha256: The weights that its updates started from.
        participants: Whose vectors are in it.
        contributors: Of these, by group, who had more than zeros there.
    """

    round_id: Name
    base_sha256: Sha256
    participants: _Silos
    contributors: Annotated[dict[str, _Silos], Field(max_length=10_000)]


def check_differencing(
    past: Iterable[Past], asked: Past, counted: Iterable[str], n_min: int
) -> None:
    """Checks a sum against those that were unmasked before.

    Args:
        past: What this silo has unmasked.
        asked: What it is asked for now.
        counted: The silos that count with its site.
        n_min: By how many of them two sums on one base must differ.

    Raises:
        Refused: `differencing`.
    """
    known = frozenset(counted)
    for earlier in past:
        if earlier.base_sha256 != asked.base_sha256 or earlier.round_id == asked.round_id:
            continue
        for before, after in _compared(earlier, asked):
            if len((before ^ after) & known) < n_min:
                raise Refused(
                    "differencing",
                    f"With the sum of round {earlier.round_id} this one would show fewer than "
                    f"{n_min} silos.",
                )


def _compared(earlier: Past, asked: Past) -> Iterable[tuple[frozenset[str], frozenset[str]]]:
    yield frozenset(earlier.participants), frozenset(asked.participants)
    sets: Mapping[str, tuple[str, ...]] = asked.contributors
    for group in earlier.contributors.keys() & sets.keys():
        yield frozenset(earlier.contributors[group]), frozenset(sets[group])
