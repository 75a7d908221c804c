"""Which states a thing may have, and which may follow which. States are past participles."""

from typing import Literal

Kind = Literal[
    "clock",
    "store",
    "file",
    "content",
    "snapshot",
    "job",
    "plan",
    "round",
    "update",
    "release",
    "letter",
    "policy",
    "statement",
    "reconciliation",
]

_NEXT: dict[Kind, dict[str, frozenset[str]]] = {
    # This host's: doubted while it shows an earlier time than it has shown before.
    "clock": {
        "doubted": frozenset({"trusted"}),
        "trusted": frozenset({"doubted"}),
    },
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
    # What files hold, by hash: its number is its place among all that was ever read.
    "content": {"read": frozenset()},
    "snapshot": {
        "wanted": frozenset({"frozen", "failed"}),
        "frozen": frozenset({"scored", "failed", "wanted"}),
        "scored": frozenset({"wanted"}),
        # Some failures pass, such as that of a full disk.
        "failed": frozenset({"wanted"}),
    },
    "job": {
        "queued": frozenset({"started", "failed"}),
        "started": frozenset({"queued", "finished", "failed"}),
        "finished": frozenset(),
        "failed": frozenset(),
    },
    # Whether an accepted plan has expired is asked of the clock each time and never kept: a clock
    # that was wrong for a minute must not shut a silo out for good.
    # Declined: it asks for more than the site's policy allows, which may change.
    "plan": {
        "accepted": frozenset({"replaced", "declined"}),
        "declined": frozenset({"accepted", "declined", "replaced"}),
        "replaced": frozenset(),
    },
    "round": {
        "announced": frozenset({"trained", "skipped", "closed"}),
        "trained": frozenset({"closed", "skipped"}),
        "skipped": frozenset(),
        "closed": frozenset(),
    },
    "update": {
        "drafted": frozenset({"sealed", "held", "expired"}),
        # Held: until a person approves it, or withdraws it.
        # An upload that has begun goes on to its end: an answer may come to a held one, too.
        "held": frozenset({"sealed", "withdrawn", "acknowledged", "refused", "expired"}),
        "sealed": frozenset({"held", "delivered", "acknowledged", "refused", "expired"}),
        "delivered": frozenset({"acknowledged", "refused", "expired"}),
        "acknowledged": frozenset(),
        "refused": frozenset(),
        "withdrawn": frozenset({"acknowledged", "refused"}),
        "expired": frozenset(),
    },
    # A small signed document of this silo's own; kept: the policy does not let it leave.
    "statement": {
        "signed": frozenset({"acknowledged", "refused"}),
        "kept": frozenset(),
        "acknowledged": frozenset(),
        "refused": frozenset(),
    },
    # This site's: the default one until a first is signed off; unsigned while its file is not.
    "policy": {
        "default": frozenset({"signed", "unsigned"}),
        "signed": frozenset({"signed", "unsigned"}),
        "unsigned": frozenset({"signed", "default"}),
    },
    # The courier's own log against the egress log.
    "reconciliation": {
        "matched": frozenset({"matched", "differing"}),
        "differing": frozenset({"matched", "differing"}),
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
