"""The stages that decide what leaves: the policy, people's requests, the outbox, the account."""

import logging
from datetime import datetime
from pathlib import Path

from agent import log
from agent.errors import Refused
from agent.keeper.auditing import Auditing
from agent.keeper.dispatch import Dispatch
from agent.keeper.policing import Policing, Standing, holds_back
from agent.keeper.requests import Request, take_all
from agent.keeper.statements import Statements
from agent.ledger.book import Ledger
from agent.policy.rules import DEFAULT, Policy

_log = logging.getLogger(__name__)


class Leaving:
    """Joins them; each knows nothing of the others.

    Args:
        ledger: Whose transactions join what belongs together.
        requests: Where people's requests lie.
        policing, dispatch, statements, auditing: The stages.
    """

    def __init__(
        self,
        ledger: Ledger,
        requests: Path,
        policing: Policing,
        dispatch: Dispatch,
        statements: Statements,
        auditing: Auditing,
    ) -> None:
        self._ledger = ledger
        self._requests = requests
        self._policing = policing
        self._dispatch = dispatch
        self._statements = statements
        self._auditing = auditing
        self._standing = Standing(DEFAULT, "The policy was not looked at yet.")

    def recover(self) -> None:
        """Once after a start."""
        self._dispatch.recover()

    def decide(self, now: datetime) -> None:
        """Before anything is ordered: the policy is looked at, and what it forbids is declined."""
        self._standing = self._policing.enforce(now)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._standing.policy

    @property
    def needs_approval(self) -> bool:
        """Whether an update that is sealed now waits for a person."""
        return self._standing.policy.leave.approval == "each"

    def holds_back(self, now: datetime) -> str:
        """Says why no round is taken at present, or nothing."""
        return holds_back(self._standing, now)

    def settle(self, now: datetime) -> None:
        """Does what people asked, signs the day's root, and shows the courier what may leave."""
        take_all(self._requests, lambda request, by: self._do(request, by, now))
        try:
            self._statements.say_root(now)
        except Refused as error:
            log.trouble(_log, "no root signed", code=error.code)
        self._auditing.daily(now)
        self._dispatch.settle(now, shut=bool(self._standing.shut))

    def _do(self, request: Request, by: str, now: datetime) -> None:
        match request.action:
            case "hold":
                self._dispatch.hold(request.envelope_id, by, now)
            case "approve":
                self._dispatch.approve(request.envelope_id, by, now)
            case "refuse":
                with self._ledger.transaction():
                    update = self._dispatch.refuse(request.envelope_id, by, now)
                    self._policing.not_approved(update.id, self._standing.policy, now)
            case "root":
                self._statements.say_root(now, at_once=True)
            case "figures":
                if self._standing.shut or self._standing.policy.leave.figures != "encrypted":
                    raise Refused("figures_kept", "The policy lets no figures out.")
                self._statements.book_carried(request, by, now)
            case _:  # settle
                self._auditing.settle(by, now)
