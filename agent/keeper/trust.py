"""What this silo believes: what enrolment pinned, and what the ledger has kept since."""

import logging
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import later_roots
from agent.clock import from_text
from agent.errors import Refused
from agent.ledger.book import Ledger
from agent.wire.documents import TrustRoot
from agent.wire.signed import parse
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


def open_trust(folder: Path, root_sha256: str, ledger: Ledger, now: datetime) -> Trusted:
    """Builds the set of trusted documents from what enrolment pinned and what came since.

    Raises:
        Refused: A pinned document is not valid (a code of `Trusted`); an expired roster is only
            left out, since a newer one may be on its way.
        OSError: A pinned document cannot be read.
    """
    pinned = (folder / "root.json").read_bytes()
    later = _later_than(pinned, folder, ledger)
    trusted = Trusted(pinned, root_sha256, now, later, ledger.floor("root"))
    roster = ledger.document("roster", "current") or (folder / "roster.json").read_bytes()
    try:
        trusted.take_roster(roster, now, ledger.floor("roster"), remembered=True)
    except Refused as error:
        if error.code != "expired":
            raise
        # Without a roster nothing is sealed; a newer one may wait in the inbox.
        log.trouble(_log, "the roster expired", why=error.reason)
    catalogue = ledger.document("catalogue", "current") or (folder / "catalogue.json").read_bytes()
    trusted.take_catalogue(catalogue, ledger.floor("catalogue"), remembered=True)
    # Ended plans, too: a release may name one. Each is judged as on the day when it was believed;
    # whether it is in force now is another question (`plans.plan_in_force`).
    for item in ledger.find("plan"):
        try:
            content = ledger.document("plan", item.id) or b""
            trusted.take_plan(content, from_text(item.created), remembered=True)
        except Refused as error:
            log.trouble(_log, "plan not believed again", plan=item.id, code=error.code)
    return trusted


def _later_than(pinned: bytes, folder: Path, ledger: Ledger) -> list[bytes]:
    first = TrustRoot.parse(parse(pinned).payload).version
    roots = later_roots(folder)
    roots |= {int(version): content for version, content in ledger.documents("root")}
    return [roots[version] for version in sorted(roots) if version > first]
