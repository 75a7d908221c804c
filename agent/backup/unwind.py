"""What a restored ledger must forget, and what it must not."""

import json
from datetime import datetime

from agent.clock import to_text
from agent.ledger.book import Ledger
from agent.ledger.states import Kind

# What was under way belonged to the silo that has ended; by states from which it may.
_ENDS: tuple[tuple[Kind, tuple[str, ...], str], ...] = (
    ("update", ("drafted", "held", "sealed", "delivered"), "expired"),
    ("statement", ("signed",), "refused"),
    ("round", ("announced", "trained"), "skipped"),
    ("job", ("queued", "started"), "failed"),
)
_ROOT, _FORMER_ROOT = "egress_root", "egress_root_of_former_silo"


def unwind(ledger: Ledger, made: datetime, now: datetime) -> None:
    """Ends what was under way, raises the floor under the time, and keeps every other floor.

    The latest time becomes the present: whatever a carrier has kept from before it, a state of the
    release repository or a roster that has expired since, is refused. Version floors stay as they
    were and rise with what enrolment pins. The egress log stays whole; since its roots were signed
    by the former silo, the new one's first root covers all of it.

    Args:
        ledger: A restored one.
        made: When the backup was made.
        now: The time.
    """
    why = f"the ledger was restored from a backup of {to_text(made)}"
    with ledger.transaction():
        for kind, states, end in _ENDS:
            for item in ledger.find(kind, *states):
                ledger.move(item, end, now, why)
        for item in ledger.find("snapshot", "wanted", "frozen", "scored"):
            _forget_snapshot(ledger, item.id)
        ledger.raise_floor("clock", int(now.timestamp()) // 60)
        ledger.raise_floor("restored", ledger.floor("restored") + 1)
        # Those that enrolment pins are newer, and the floors see to it.
        ledger.connection.execute(
            "DELETE FROM document WHERE kind IN ('roster', 'catalogue') AND id = 'current'"
        )
        for item in ledger.find("statement"):
            if item.detail.get("kind") == _ROOT:
                detail = json.dumps({**item.detail, "kind": _FORMER_ROOT})
                ledger.connection.execute(
                    "UPDATE item SET detail = ? WHERE kind = 'statement' AND id = ?",
                    (detail, item.id),
                )


def _forget_snapshot(ledger: Ledger, snapshot: str) -> None:
    # Its folder is not in the backup: it is frozen again when a plan needs it.
    ledger.connection.execute("DELETE FROM item WHERE kind = 'snapshot' AND id = ?", (snapshot,))
