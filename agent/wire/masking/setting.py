"""What a masked round is held against: its manifest, its plan, the roster, and a site's wish."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from agent.clock import from_text
from agent.errors import Refused
from agent.wire.documents import Member, Plan, Roster, RoundManifest, SharedNoise
from agent.wire.masking.documents import MAX_SILOS, Message
from agent.wire.masking.layout import Layout
from agent.wire.masking.sharing import check_room, share
from agent.wire.masking.terms import LEAST_N_MIN, MaskTerms, bits_for
from agent.wire.network import round_shapes
from agent.wire.roster import member_of, signing_keys
from agent.wire.signed import key_id, parse, verify

Said = TypeVar("Said", bound=Message)


@dataclass(frozen=True)
class Setting:
    """A round, the plan it belongs to and the roster, each believed already.

    Attributes:
        manifest: With masking terms.
        manifest_sha256: Of its payload as signed.
        plan: Of the manifest.
        roster: Whose signing keys count.
        roster_sha256: Of its payload.
    """

    manifest: RoundManifest
    manifest_sha256: str
    plan: Plan
    roster: Roster
    roster_sha256: str

    @property
    def terms(self) -> MaskTerms:
        """The round's masking terms.

        Raises:
            Refused: `not_masked`.
        """
        if self.manifest.masking is None:
            raise Refused("not_masked", "This round says nothing of masking.")
        return self.manifest.masking

    def layout(self, groups: Collection[str]) -> Layout:
        """Returns the places of a vector with these groups.

        Raises:
            Refused: As `expected_shapes`.
        """
        plan, terms = self.plan, self.terms
        number = self.manifest.number
        shapes = round_shapes(plan.network, plan.features, plan.endpoints, number)
        cap = 1.0 if plan.recipe.weighting == "uniform" else plan.recipe.weight_cap
        rules = terms.rules
        if isinstance(plan.privacy, SharedNoise):
            # One ring element is the same everywhere, and so is the noise.
            rules = rules.model_copy(update={"bias_clip": rules.clip})
        return Layout.of(shapes, groups, rules, terms.bits, cap)

    def noise(self, silos: int) -> float:
        """Returns the deviation of what each of so many silos adds, in ring elements; 0 of none.

        Raises:
            Refused: As `sharing.share`.
        """
        asked = self.plan.privacy
        if not isinstance(asked, SharedNoise):
            return 0.0
        return share(asked, self.plan.recipe, self.terms.bits, silos)

    def check(self) -> None:
        """Checks that the online key's terms are those that the officers signed, and make sense.

        Raises:
            Refused: `not_masked`, `wrong_terms`, `wrong_roster`, `too_many_silos`, or a code of
                `sharing.check_room`.
        """
        terms, silos = self.terms, len(set(self.manifest.participants))
        if self.plan.privacy.masking != terms.rules:
            raise Refused("wrong_terms", "The round masks otherwise than its plan says.")
        if terms.roster_sha256 != self.roster_sha256:
            raise Refused("wrong_roster", "The round goes by another roster than the one in force.")
        if not 0 < silos <= MAX_SILOS:
            raise Refused("too_many_silos", f"A masked round has at most {MAX_SILOS} silos.")
        if terms.bits != bits_for(silos, terms.rules.headroom):
            raise Refused("wrong_terms", "A sum of that many silos would not fit into the ring.")
        ends = (terms.keys_by, self.manifest.deadline, terms.acks_by, terms.unmask_by)
        if sorted(map(from_text, ends)) != list(map(from_text, ends)):
            raise Refused("wrong_terms", "The round's steps end in another order than they follow.")
        if isinstance(self.plan.privacy, SharedNoise):
            check_room(self.plan.privacy, self.plan.recipe, silos)

    def member(self, silo: str) -> Member:
        """Returns a participant's entry in the roster.

        Raises:
            Refused: `strange_participant`, or `revoked`.
        """
        member = member_of(self.roster, silo)
        if silo not in self.manifest.participants or member is None:
            raise Refused("strange_participant", f"Silo {silo} takes no part in this round.")
        if member.revoked:
            raise Refused("revoked", f"Silo {silo} was revoked.")
        return member

    def read(self, model: type[Said], content: bytes) -> Said:
        """Believes a silo's message: signed with its own key, by nobody else, for this round.

        Raises:
            Refused: `unknown_signer`, `wrong_silo`, `wrong_consortium`, `wrong_round`, a code of
                `member`, of `signed.verify` or of `Document.parse`.
        """
        kind = str(model.model_fields["kind"].default)
        names = {name for name, _ in parse(content).signatures}
        signers = names & self._keys.keys()
        if len(signers) != 1 or len(names) != 1:
            raise Refused("unknown_signer", f"One participant signs a {kind}, and nobody else.")
        (signer,) = signers
        silo, key = self._keys[signer]
        message = model.parse(verify(content, kind, {signer: key}))
        if message.silo != silo:
            raise Refused("wrong_silo", f"Silo {silo} speaks in the name of {message.silo}.")
        self.member(silo)
        if message.consortium != self.manifest.consortium:
            raise Refused("wrong_consortium", f"This is for {message.consortium}.")
        if message.round_id != self.manifest.round_id:
            raise Refused("wrong_round", f"This belongs to round {message.round_id}.")
        return message

    @cached_property
    def _keys(self) -> dict[str, tuple[str, str]]:
        """Whose key is which, and the key, by its id."""
        named = set(self.manifest.participants)
        return {
            key_id(key): (member.silo, key)
            for member in self.roster.members
            if member.silo in named
            for key in signing_keys(member)
        }


@dataclass(frozen=True, slots=True)
class Site:
    """What a silo's own policy says of sums that its update may be in.

    Attributes:
        n_min: The fewest silos that count, this one included.
        pinned: Ids of the signing keys that the site has checked itself; None counts every silo of
            the roster.

    Raises:
        Refused: `n_min_too_small`.
    """

    n_min: int = 5
    pinned: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.n_min < LEAST_N_MIN:
            raise Refused("n_min_too_small", f"A sum of fewer than {LEAST_N_MIN} hides nobody.")

    def counted(self, setting: Setting, silos: Iterable[str], own: str) -> tuple[str, ...]:
        """Returns those of the silos that count, in name order."""
        return tuple(sorted(silo for silo in silos if self._counts(setting, silo, own)))

    def _counts(self, setting: Setting, silo: str, own: str) -> bool:
        if silo == own or self.pinned is None:
            return True
        member = member_of(setting.roster, silo)
        return member is not None and key_id(member.sign_key) in self.pinned


def check_open(until: str, now: datetime, what: str) -> None:
    """Checks that a step is not over.

    Raises:
        Refused: `too_late`.
    """
    if now >= from_text(until):
        raise Refused("too_late", f"The round took {what} until {until}.")
