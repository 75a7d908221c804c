"""What privacy was spent, as a chain of hashes in the ledger: reserve, then train, then commit.

A reservation is durable before the first noisy step and is never given back: a crash leaves it
spent. Every snapshot of a site holds compounds of the one before, so they are one lineage, and one
budget covers it whichever plan asks: a consortium could name a new plan each week.

The chain's head is kept beside the ledger, too, and named in every update that was paid for: a
ledger that was restored from an older copy has forgotten what was spent, and pays for nothing.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.clock import to_text
from agent.errors import Refused
from agent.files import write_atomic
from agent.ledger.book import Ledger
from agent.privacy.accounting import Mechanism, epsilon
from agent.wire.document import Count, Document, Moment, Sha256

EMPTY = hashlib.sha256(b"onggi privacy account").hexdigest()
LINEAGE = "site"
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Charge(Document):
    """What a training costs.

    Attributes:
        id: Of the round; it is charged once.
        family: Of the model: its plan.
        noise, rate, steps: As `accounting.Mechanism`.
        clip: To which norm a compound's gradient is clipped.
        shared: The noise is that of t silos together, and holds as long as so many of each sum
            (`wire.masking.terms.threshold`) add their share; else it is this silo's own.
    """

    id: str
    lineage: str = LINEAGE
    family: str
    noise: _Positive
    rate: Annotated[float, Field(gt=0, le=1)]
    steps: Count
    clip: _Positive
    shared: bool = False

    def mechanism(self) -> Mechanism:
        """Returns what accounting needs of it."""
        return Mechanism(self.noise, self.rate, self.steps)


class Entry(Document):
    """A link of the chain.

    Attributes:
        epsilon_after: Of everything of the lineage that was reserved so far, at `delta`.
    """

    what: Literal["reserved", "committed"]
    at: Moment
    charge: Charge
    epsilon_after: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    delta: Annotated[float, Field(gt=0, lt=1)]


class _Head(Document):
    """What is kept beside the ledger."""

    links: Annotated[int, Field(ge=0)]
    head: Sha256


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent in all: epsilon at this delta."""

    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class Chain:
    """The whole chain, checked.

    Attributes:
        entries: Oldest first.
        heads: The hash after each of them.
    """

    entries: tuple[Entry, ...]
    heads: tuple[str, ...]

    @property
    def head(self) -> str:
        """The hash after the last entry."""
        return self.heads[-1] if self.heads else EMPTY

    def reserved(self, lineage: str = LINEAGE) -> list[Charge]:
        """Returns everything that was spent; what was never committed is spent, too."""
        charges = [entry.charge for entry in self.entries if entry.what == "reserved"]
        return [charge for charge in charges if charge.lineage == lineage]

    def entry(self, what: Literal["reserved", "committed"], charge_id: str) -> Entry | None:
        """Returns the entry of a charge, or None."""
        found = (e for e in self.entries if e.what == what and e.charge.id == charge_id)
        return next(found, None)

    def spent(self, delta: float, lineage: str = LINEAGE) -> float:
        """Returns the epsilon of everything that was reserved."""
        return epsilon([charge.mechanism() for charge in self.reserved(lineage)], delta)


def read_chain(ledger: Ledger, witness: Path) -> Chain:
    """Reads and checks the chain.

    Args:
        ledger: Where it is.
        witness: The file that keeps its head beside the ledger.

    Raises:
        Refused: `privacy_chain_broken`: a link was altered, removed or put in between; or
            `privacy_wound_back`: the ledger is older than what was spent.
    """
    kept = _kept(witness)  # first: a keeper may add a link while somebody else reads
    rows = ledger.connection.execute("SELECT seq, entry, head FROM privacy ORDER BY seq").fetchall()
    entries, heads, head = [], [], EMPTY
    for number, (seq, content, stored) in enumerate(rows, start=1):
        head = _after(head, bytes(content))
        if seq != number or head != stored:
            raise Refused(
                "privacy_chain_broken",
                f"Link {number} of the privacy account was altered, removed or put in between. "
                "Nothing is trained with noise any more; keep a copy of the ledger as evidence.",
            )
        entries.append(Entry.parse(bytes(content)))
        heads.append(head)
    if kept is not None and [EMPTY, *heads][kept.links : kept.links + 1] != [kept.head]:
        raise Refused(
            "privacy_wound_back",
            f"The privacy account lacks what {witness} says was spent: the ledger is an older "
            "copy. Restore the newest one; what is missing cannot be reckoned.",
        )
    return Chain(tuple(entries), tuple(heads))


class Account:
    """Books what training with noise costs; the keeper is its one writer.

    Args:
        ledger: Where the chain is.
        witness: The file that keeps its head beside the ledger.
    """

    def __init__(self, ledger: Ledger, witness: Path) -> None:
        self._ledger = ledger
        self._witness = witness

    def reserve(self, charge: Charge, budget: Budget, at: datetime) -> Entry:
        """Books a charge durably, before its first noisy step; the same one again changes nothing.

        Args:
            charge: What the training will cost.
            budget: What may be spent in all.
            at: The time.

        Raises:
            Refused: `budget_spent`; `charge_changed`: this id was reserved for something else;
                `privacy_wound_back`: the ledger came out of a backup; or as `read_chain`.
            ValueError: A transaction is open: what is not durable is not reserved (a bug).
        """
        if self._ledger.connection.in_transaction:
            raise ValueError("a reservation must be durable by itself")
        if self._ledger.floor("restored"):
            raise Refused(
                "privacy_wound_back",
                "This ledger was restored from a backup: what was spent after the backup was made "
                "is not known, so nothing more is spent on these data.",
            )
        with self._ledger.transaction():
            chain = read_chain(self._ledger, self._witness)
            entry = chain.entry("reserved", charge.id)
            if entry is None:
                after = _within(chain, charge, budget)
                entry = self._add(chain, "reserved", charge, after, budget.delta, at)
            elif entry.charge != charge:
                raise Refused(
                    "charge_changed",
                    f"{charge.id} was reserved with other noise; it is not trained again.",
                )
        self.confirm()
        return entry

    def commit(self, charge_id: str, budget: Budget, at: datetime) -> tuple[Entry, str]:
        """Books that what was trained is sent; call it in the transaction that seals it.

        Args:
            charge_id: The reservation's.
            budget: As it is now: it may have been made smaller.
            at: The time.

        Returns:
            The entry, and the chain's head after it.

        Raises:
            Refused: `not_reserved`, `sent_already`, `budget_spent`, or as `read_chain`.
        """
        with self._ledger.transaction():
            chain = read_chain(self._ledger, self._witness)
            reserved = chain.entry("reserved", charge_id)
            if reserved is None:
                raise Refused("not_reserved", f"{charge_id} has no reservation; nothing is sent.")
            if chain.entry("committed", charge_id) is not None:
                raise Refused("sent_already", f"{charge_id} was paid for and sent before.")
            after = _within(chain, None, budget)
            entry = self._add(chain, "committed", reserved.charge, after, budget.delta, at)
            return entry, _after(chain.head, entry.to_bytes())

    def confirm(self) -> None:
        """Keeps the chain's head beside the ledger.

        Only what is durable in the ledger may be in that file: so not inside a transaction, and a
        kill in between leaves the file one link behind, which is no fault.

        Raises:
            Refused: As `read_chain`.
            OSError: The disk is full.
        """
        chain = read_chain(self._ledger, self._witness)
        note = _Head(links=len(chain.heads), head=chain.head)
        write_atomic(self._witness, note.to_bytes(), mode=0o600)

    def _add(
        self,
        chain: Chain,
        what: Literal["reserved", "committed"],
        charge: Charge,
        after: float,
        delta: float,
        at: datetime,
    ) -> Entry:
        entry = Entry(what=what, at=to_text(at), charge=charge, epsilon_after=after, delta=delta)
        content = entry.to_bytes()
        self._ledger.connection.execute(
            "INSERT INTO privacy VALUES (?, ?, ?)",
            (len(chain.heads) + 1, content, _after(chain.head, content)),
        )
        return entry


def _within(chain: Chain, charge: Charge | None, budget: Budget) -> float:
    lineage = LINEAGE if charge is None else charge.lineage
    runs = [*chain.reserved(lineage), *([] if charge is None else [charge])]
    after = epsilon([run.mechanism() for run in runs], budget.delta)
    if after > budget.epsilon:
        raise Refused(
            "budget_spent",
            f"It would bring what is spent to epsilon {after:.3g}, of {budget.epsilon:g} at delta "
            f"{budget.delta:g}; `onggi privacy` says on what. Only the site's policy can allow "
            "more.",
        )
    return after


def _after(head: str, content: bytes) -> str:
    return hashlib.sha256(bytes.fromhex(head) + content).hexdigest()


def _kept(witness: Path) -> _Head | None:
    try:
        return _Head.parse(witness.read_bytes())
    except FileNotFoundError:
        return None
    except Refused as error:
        raise Refused(
            "privacy_chain_broken",
            f"{witness} is damaged; restore it together with the newest ledger.",
        ) from error
