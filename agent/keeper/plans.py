"""Which plan is in force: asked of the clock each time, and never stored."""

from datetime import datetime

from agent.clock import from_text
from agent.ledger.book import Ledger
from agent.wire.documents import Plan
from agent.wire.trusted import Trusted


def plan_in_force(ledger: Ledger, trusted: Trusted, now: datetime) -> Plan | None:
    """Returns the accepted plan, unless it has expired by this host's clock.

    A plan that expired is in force again once a clock that was wrong is right.
    """
    found = None
    for item in ledger.find("plan", "accepted"):
        if item.id not in trusted.plans:
            continue
        plan = trusted.plans[item.id][0]
        expired = from_text(plan.expires) <= now
        ledger.explain(item, f"It expired at {plan.expires}." if expired else "")
        found = found if expired else plan
    return found
