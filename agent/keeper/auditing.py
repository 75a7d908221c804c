"""The daily account: is the egress log whole, and did the courier carry what it let out?"""

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import log
from agent.audit.reconcile import Booked, Comparison, Progress
from agent.audit.transport import Totals, read
from agent.clock import from_text
from agent.errors import Refused
from agent.keeper.statements import roots
from agent.ledger import egress
from agent.ledger.book import Detail, Item, Ledger

_log = logging.getLogger(__name__)
COURIER = "courier"
_PROGRESS = "reconciliation"


@dataclass(frozen=True, slots=True)
class Account:
    """What a look found.

    Attributes:
        totals: What the transport log adds up to.
        envelopes: How many envelopes it tells of.
        otherwise: How many were delivered and it tells nothing of: another carrier took them.
        faults: Sentences, each with its code; empty when everything agrees.
        progress: Where the next look goes on, or None after a fault of the log itself.
    """

    totals: Totals
    envelopes: int
    otherwise: int
    faults: tuple[str, ...]
    progress: Progress | None


def account(ledger: Ledger, transport: Path, progress: Progress) -> Account:
    """Checks the egress log against itself and its signed roots, and the courier against it.

    Args:
        ledger: The egress log; only read.
        transport: The courier's transport log; absent before the courier's first start.
        progress: From where on; an empty one goes through all of it.
    """
    faults = list(_own_faults(ledger))
    comparison = Comparison(progress)
    after: Progress | None = None
    delivered = _delivered(ledger)  # before the log is read: what arrives meanwhile is not in it
    try:
        if transport.exists():
            comparison.read(read(transport, progress.mark))
        elif progress.mark.requests:
            raise Refused("cut_log", "The courier's transport log is gone.")  # noqa: TRY301
        booked = _booked(ledger, delivered)
        comparison.judge(booked)
        after = comparison.progress
    except Refused as error:
        faults.append(str(error))
    except OSError as error:
        faults.append(f"The courier's transport log cannot be read: {error.strerror}. [unreadable]")
    faults += [f"{one.sentence} [{one.code}]" for one in comparison.differences]
    return Account(
        totals=comparison.progress.mark.totals,
        envelopes=len(comparison.progress.sent),
        otherwise=len(delivered - set(comparison.progress.sent)) if after is not None else 0,
        faults=tuple(faults),
        progress=after,
    )


class Auditing:
    """Looks once a day, and says in the ledger what does not agree.

    Args:
        ledger: The egress log, and where the finding is a row.
        transport: The courier's transport log.
    """

    def __init__(self, ledger: Ledger, transport: Path) -> None:
        self._ledger = ledger
        self._transport = transport

    def daily(self, now: datetime) -> bool:
        """Looks, if that was not done today (UTC) yet; returns whether it was due."""
        last = self._ledger.get("reconciliation", COURIER)
        if last is not None and from_text(last.changed).date() == now.date():
            return False
        found = account(self._ledger, self._transport, self._progress())
        with self._ledger.transaction():
            self._book(last, found, now)
        return True

    def settle(self, by: str, now: datetime) -> None:
        """Ends an alarm, because a person has looked; a log that was not whole is begun anew.

        Raises:
            Refused: `nothing_differs`.
        """
        item = self._ledger.get("reconciliation", COURIER)
        if item is None or item.state != "differing":
            raise Refused("nothing_differs", "There is no difference to settle.")
        with self._ledger.transaction():
            self._ledger.move(item, "matched", now, f"{by} has looked.", {"faults": []})
            if not item.detail.get("whole"):
                self._ledger.put_document(_PROGRESS, COURIER, Progress().to_bytes(), now)

    def _progress(self) -> Progress:
        content = self._ledger.document(_PROGRESS, COURIER)
        return Progress.parse(content) if content else Progress()

    def _book(self, last: Item | None, found: Account, now: datetime) -> None:
        # A difference stays until a person has looked: the part that is read does not come again.
        earlier = last.detail.get("faults", []) if last is not None else []
        known = [str(one) for one in earlier] if isinstance(earlier, list) else []
        faults = [*known, *(one for one in found.faults if one not in known)]
        detail: Detail = {
            "faults": list(faults),
            "whole": found.progress is not None,
            "requests": found.totals.requests,
            "bytes_up": found.totals.bytes_up,
            "envelopes": found.envelopes,
            "otherwise": found.otherwise,
        }
        state, why = ("differing", _alarm(faults)) if faults else ("matched", "")
        if last is None:
            self._ledger.add("reconciliation", COURIER, "matched", now, {})
        for item in self._ledger.find("reconciliation"):
            self._ledger.move(item, state, now, why, detail)
        if found.progress is not None:
            content = found.progress.to_bytes()
            self._ledger.put_document(_PROGRESS, COURIER, content, now)
        if faults:
            log.trouble(_log, "egress differs", faults=len(faults))


def _alarm(faults: list[str]) -> str:
    return (
        f"{' '.join(faults)} Stop the courier, keep its log and the ledger as evidence, and look: "
        "`onggi egress reconcile`."
    )


def _own_faults(ledger: Ledger) -> tuple[str, ...]:
    try:
        egress.verify(ledger)
        for item in roots(ledger):
            egress.check_root(ledger, int(str(item.detail["size"])), str(item.detail["root"]))
    except Refused as error:
        return (str(error),)
    return ()


def _delivered(ledger: Ledger) -> frozenset[str]:
    delivered = {item.id for item in ledger.find("statement", "acknowledged")}
    delivered |= {str(item.detail["envelope_id"]) for item in ledger.find("update", "acknowledged")}
    return frozenset(delivered)


def _booked(ledger: Ledger, delivered: frozenset[str]) -> Mapping[str, Booked]:
    booked = {}
    for envelope_id, leaf in egress.left(ledger).items():
        header = len(base64.b64decode(leaf.header)) if leaf.header else None
        blob = leaf.bytes - (header or 0)
        booked[envelope_id] = Booked(header, blob, envelope_id in delivered)
    return booked
