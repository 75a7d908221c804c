import pytest

from agent.ledger.states import Kind, is_state, may_follow


@pytest.mark.parametrize(
    ("kind", "before", "after", "allowed"),
    [
        ("update", "drafted", "sealed", True),
        ("update", "drafted", "delivered", False),
        ("update", "sealed", "acknowledged", True),
        ("update", "acknowledged", "sealed", False),
        ("file", "refused", "found", True),
        ("file", "ingested", "refused", False),
        ("job", "finished", "queued", False),
        ("snapshot", "failed", "wanted", True),
        ("clock", "doubted", "trusted", True),
        ("round", "closed", "announced", False),
        ("release", "fetched", "active", False),
        ("release", "trial", "rolled back", True),
        ("release", "trial", "replaced", True),
        ("release", "replaced", "active", True),
        ("letter", "refused", "refused", False),
        ("plan", "declined", "accepted", True),
        ("update", "held", "delivered", False),
        ("update", "withdrawn", "sealed", False),
        ("statement", "kept", "acknowledged", False),
        ("policy", "unsigned", "signed", True),
        ("reconciliation", "differing", "matched", True),
        ("plan", "nowhere", "accepted", False),
    ],
)
def test_what_may_follow_what(kind: Kind, before: str, after: str, allowed: bool) -> None:
    assert may_follow(kind, before, after) is allowed


def test_a_state_belongs_to_its_kind() -> None:
    assert is_state("release", "rolled back")
    assert not is_state("release", "sealed")
