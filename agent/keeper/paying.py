"""Pays for training with noise: what a plan asks becomes charges against the site's budget."""

from datetime import datetime

from agent.keeper.policing import last_known
from agent.keeper.site import Site
from agent.ledger.book import Ledger
from agent.privacy.account import Account, Budget, Charge
from agent.privacy.accounting import Mechanism, calibrate, check_noise
from agent.wire.documents import (
    LocalNoise,
    PaidNoise,
    PaidShare,
    Plan,
    Privacy,
    RoundManifest,
    SharedNoise,
)


def budget_of(ledger: Ledger) -> Budget:
    """Returns the budget of the policy that was signed off last, or of the default one."""
    rules = last_known(ledger).privacy
    return Budget(rules.budget_epsilon, rules.budget_delta)


class Paying:
    """Reserves before a round's training, and commits when its update is sealed.

    Args:
        ledger: Where the account is.
        site: Knows the file that keeps the account's head beside it.
    """

    def __init__(self, ledger: Ledger, site: Site) -> None:
        self._ledger = ledger
        self._site = site
        self._noises: dict[tuple[float, float, float, int], float] = {}
        self._checked: set[tuple[float, float, Mechanism]] = set()

    def reserve(self, plan: Plan, manifest: RoundManifest, now: datetime) -> float:
        """Pays for a round's training durably, and returns its noise; 0 where none is asked.

        Raises:
            Refused: As `accounting.calibrate`, `accounting.check_noise` and `Account.reserve`.
        """
        asked = plan.privacy
        if isinstance(asked, Privacy):
            return 0.0
        steps = 1 if isinstance(asked, SharedNoise) else asked.steps(plan.recipe)
        charge = Charge(
            id=manifest.round_id,
            family=plan.plan_id,
            noise=self._noise(asked, steps * plan.recipe.rounds),
            rate=asked.sampling_rate,
            steps=steps,
            clip=asked.clip,
            shared=isinstance(asked, SharedNoise),
        )
        self._account().reserve(charge, budget_of(self._ledger), now)
        return charge.noise

    def commit(
        self, plan: Plan, manifest: RoundManifest, now: datetime
    ) -> Privacy | PaidNoise | PaidShare:
        """Books that a round's update is sealed, in its transaction; says what its header says.

        Raises:
            Refused: As `Account.commit`.
        """
        asked = plan.privacy
        if isinstance(asked, Privacy):
            return asked
        entry, head = self._account().commit(manifest.round_id, budget_of(self._ledger), now)
        after = (entry.epsilon_after, entry.delta, head)
        if isinstance(asked, SharedNoise):
            return _said_of_share(asked, *after)
        return _said(asked, entry.charge.noise, *after)

    def _account(self) -> Account:
        return Account(self._ledger, self._site.privacy_head)

    def _noise(self, asked: LocalNoise | SharedNoise, steps: int) -> float:
        if isinstance(asked, SharedNoise):  # all silos must add alike, so the plan says how much
            claim = (asked.epsilon, asked.delta, Mechanism(asked.noise, asked.sampling_rate, steps))
            if claim not in self._checked:
                check_noise(*claim)
                self._checked.add(claim)
            return asked.noise
        key = (asked.epsilon, asked.delta, asked.sampling_rate, steps)
        if key not in self._noises:
            self._noises[key] = calibrate(*key)
        return self._noises[key]


def _said(asked: LocalNoise, noise: float, after: float, delta: float, head: str) -> PaidNoise:
    return PaidNoise(
        **asked.model_dump(),
        noise=noise,
        epsilon_after=after,
        after_delta=delta,
        account_head=head,
    )


def _said_of_share(asked: SharedNoise, after: float, delta: float, head: str) -> PaidShare:
    fields = {name: getattr(asked, name) for name in SharedNoise.model_fields}
    return PaidShare(**fields, epsilon_after=after, after_delta=delta, account_head=head)
