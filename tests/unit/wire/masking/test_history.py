"""The differencing rule, over all silos and over those of each head."""

import pytest

from agent.errors import Refused
from agent.wire.masking.history import Past, check_differencing

_SILOS = tuple(f"silo-{place:02}" for place in range(20))


def past(
    participants: tuple[str, ...], round_id: str = "r1", base: str = "11" * 32, head: object = None
) -> Past:
    contributors = {"trunk": participants}
    if isinstance(head, tuple):
        contributors["head.a"] = head
    return Past(
        round_id=round_id, base_sha256=base, participants=participants, contributors=contributors
    )


def _refuses(earlier: Past, asked: Past, counted: tuple[str, ...] = _SILOS) -> bool:
    try:
        check_differencing([earlier], asked, counted, 5)
    except Refused as refusal:
        return refusal.code == "differencing"
    return False


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (_SILOS[:9], _SILOS[:8], True),
        (_SILOS[:8], _SILOS[:9], True),
        (_SILOS[:9], _SILOS[:9], True),  # once more the same
        (_SILOS[:9], _SILOS[2:11], True),
        (_SILOS[:9], _SILOS[3:11], False),
        (_SILOS[:9], _SILOS[:4], False),
        (_SILOS[:9], _SILOS[9:], False),
    ],
)
def test_two_sums_on_one_base_differ_by_n_min_or_more(
    before: tuple[str, ...], after: tuple[str, ...], refused: bool
) -> None:
    assert _refuses(past(before), past(after, "r2")) == refused


def test_another_base_is_another_matter_and_so_is_the_round_itself() -> None:
    assert not _refuses(past(_SILOS[:9]), past(_SILOS[:8], "r2", "22" * 32))
    assert not _refuses(past(_SILOS[:9]), past(_SILOS[:9]))


def test_puppets_make_no_difference() -> None:
    """All but one of the silos that count are in both sums; the rest are somebody's puppets."""
    asked = past((*_SILOS[:8], *_SILOS[14:20]), "r2")
    assert not _refuses(past(_SILOS[:9]), asked)
    assert _refuses(past(_SILOS[:9]), asked, _SILOS[:14])


def test_each_heads_contributors_are_compared() -> None:
    before = past(_SILOS[:10], head=_SILOS[:6])
    asked = past((*_SILOS[:5], *_SILOS[10:]), "r2", head=_SILOS[:5])
    assert _refuses(before, asked)
    assert not _refuses(before, past((*_SILOS[:5], *_SILOS[10:]), "r2"))
