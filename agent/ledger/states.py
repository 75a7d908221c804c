"""Which states a thing may have, and which may follow which. States are past participles."""

from typing import Literal

Kind = Literal["store", "file", "snapshot", "job", "plan", "round", "update", "release", "letter"]

_NEXT: dict[Kind, dict[str, frozenset[str]]] = {
    "store": {
        "reached": frozenset({"lost"}),
        "lost": frozenset({"reached"}),
    },
    # A file is found, queued for a worker, and read or refused; it may change and start again.
    "file": {
        "found": frozenset({"queued", "refused"}),
        "queued": frozenset({"ingested", "refused", "found"}),
        "ingested": frozenset({"found"}),
        "refused": frozenset({"found"}),
    },
    "snapshot": {
        "wanted": frozenset({"frozen", "failed"}),
        "frozen": frozenset({"scored", "failed", "wanted"}),
        "scored": frozenset({"wanted"}),
        "failed": frozenset(),
    },
    "job": {
        "queued": frozenset({"started", "failed"}),
        "started": frozenset({"queued", "finished", "failed"}),
        "finished": frozenset(),
        "failed": frozenset(),
    },
    "plan": {
        "accepted": frozenset({"expired", "replaced"}),
        "expired": frozenset(),
        "replaced": frozenset(),
    },
    "round": {
        "announced": frozenset({"trained", "skipped", "closed"}),
        "trained": frozenset({"closed", "skipped"}),
        "skipped": frozenset(),
        "closed": frozenset(),
    },
    "update": {
        "drafted": frozenset({"sealed", "expired"}),
        "sealed": frozenset({"delivered", "acknowledged", "refused", "expired"}),
        "delivered": frozenset({"acknowledged", "refused", "expired"}),
        "acknowledged": frozenset(),
        "refused": frozenset(),
        "expired": frozenset(),
    },
    # A letter that was not believed; those that were have become something else.
    "letter": {"refused": frozenset()},
    "release": {
        "announced": frozenset({"fetched", "refused"}),
        "fetched": frozenset({"verified", "refused"}),
        "verified": frozenset({"staged", "refused"}),
        "staged": frozenset({"gated", "refused"}),
        "gated": frozenset({"trial", "refused"}),
        "trial": frozenset({"active", "rolled back", "replaced"}),
        "active": frozenset({"replaced", "rolled back"}),
        # When the release that replaced it is rolled back, it serves again.
        "replaced": frozenset({"active"}),
        "refused": frozenset(),
        "rolled back": frozenset(),
    },
}


def may_follow(kind: Kind, before: str, after: str) -> bool:
    """Tells whether a thing of this kind may go from one state to the other."""
    return after in _NEXT[kind].get(before, frozenset())


def is_state(kind: Kind, state: str) -> bool:
    """Tells whether the state exists for the kind."""
    return state in _NEXT[kind]
