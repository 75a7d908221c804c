"""Every rule of trust in one place, in one order, without I/O.

After the design of python-tuf's `TrustedMetadataSet`: a document is offered as the bytes received,
and is either taken into the set or refused by name. The order is root, roster, catalogue, plan,
round, release repository, release; each is checked against those before it.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import (
    Catalogue,
    ObjectRef,
    Plan,
    Receipt,
    Refusal,
    ReleaseManifest,
    Roster,
    RoundManifest,
    TrustRoot,
)
from agent.wire.masking.audit import KIND, Announcement
from agent.wire.masking.carriage import Handout
from agent.wire.masking.documents import Publication
from agent.wire.repository import (
    GOLDEN,
    MANIFEST,
    WEIGHTS,
    Channel,
    Floor,
    Offer,
    Repository,
    RepositoryFiles,
    verify_repository,
)
from agent.wire.robust import check_visible
from agent.wire.signed import parse, verify


class Trusted:
    """The documents that this silo believes, and the checks that let one in.

    Args:
        root: The signed trust root's bytes.
        root_sha256: SHA-256 of its payload, pinned out of band (the enrolment token).
        now: The time, for expiry.
        chain: The signed roots that came after the pinned one, in order. Only the last of them
            must not have expired: a silo that was away for long walks over the others.
        floor: The lowest version that the last of them may have.

    Raises:
        Refused: `wrong_root`, `expired`, `rolled_back`, or a code of `take_root`.
    """

    def __init__(
        self,
        root: bytes,
        root_sha256: str,
        now: datetime,
        chain: Sequence[bytes] = (),
        floor: int = 0,
    ) -> None:
        payload = parse(root).payload
        if sha256_bytes(payload) != root_sha256:
            raise Refused("wrong_root", "The trust root is not the one that the token named.")
        self.root, self.root_sha256 = TrustRoot.parse(payload), root_sha256
        self._former: tuple[TrustRoot, ...] = ()
        self._check_role("root", root)
        for later in chain:
            self.take_root(later)
        _check_floor("trust root", self.root.version, floor)
        self._check_root(now)
        self.roster: Roster | None = None
        self.roster_sha256 = ""
        self.catalogue: Catalogue | None = None
        self.catalogue_sha256 = ""
        self.plans: dict[str, tuple[Plan, str]] = {}

    def take_root(self, content: bytes) -> TrustRoot:
        """Believes the next root, signed by enough keys of the present one and of its own.

        As in TUF (5.3.4 and 5.3.5 of its specification): the old keys hand over, the new ones show
        that somebody holds them, and no version is left out. Its expiry counts where it is used.
        The root in force, brought once more with its signatures, is taken again.

        Raises:
            Refused: `wrong_consortium`, `rolled_back`, `skipped_root`, `unknown_role`, or a code
                of `signed.verify`.
        """
        if sha256_bytes(parse(content).payload) == self.root_sha256:
            for signed_by in (*self._former[:1], self.root):
                _verify("root", content, signed_by)
            return self.root
        payload = self._check_role("root", content)
        root = TrustRoot.parse(payload)
        _verify("root", content, root)
        self._check_consortium(root.consortium)
        _check_floor("trust root", root.version, self.root.version + 1)
        if root.version != self.root.version + 1:
            raise Refused(
                "skipped_root",
                f"Trust root {root.version} came after {self.root.version}; those between are "
                "missing.",
            )
        self._former = (self.root, *self._former)
        self.root, self.root_sha256 = root, sha256_bytes(payload)
        return root

    def take_roster(
        self, content: bytes, now: datetime, floor: int = 0, *, remembered: bool = False
    ) -> Roster:
        """Believes a roster that is signed, current, and no older than the floor.

        Args:
            content: The signed container.
            now: The time.
            floor: The lowest version that may be believed.
            remembered: It was believed before and kept where no carrier writes (the ledger), so
                keys that a later root took away may have signed it.

        Raises:
            Refused: `wrong_consortium`, `expired`, `rolled_back`, or a code of `signed.verify`.
        """
        self._check_root(now)
        payload = self._check_role("roster", content, remembered=remembered)
        roster = Roster.parse(payload)
        self._check_consortium(roster.consortium)
        _check_expiry("roster", roster.expires, now)
        known = max(floor, self.roster.version if self.roster else 0)
        _check_floor("roster", roster.version, known)
        self.roster, self.roster_sha256 = roster, sha256_bytes(payload)
        return roster

    def take_catalogue(
        self, content: bytes, floor: int = 0, *, remembered: bool = False
    ) -> Catalogue:
        """Believes a catalogue that is signed and no older than the floor.

        Raises:
            Refused: `wrong_consortium`, `rolled_back`, or a code of `signed.verify`.
        """
        payload = self._check_role("plan", content, kind="catalogue", remembered=remembered)
        catalogue = Catalogue.parse(payload)
        self._check_consortium(catalogue.consortium)
        known = max(floor, self.catalogue.version if self.catalogue else 0)
        _check_floor("catalogue", catalogue.version, known)
        self.catalogue, self.catalogue_sha256 = catalogue, sha256_bytes(payload)
        return catalogue

    def take_plan(self, content: bytes, now: datetime, *, remembered: bool = False) -> Plan:
        """Believes a plan that is signed, current and written for the trusted catalogue.

        Args:
            content: The signed container.
            now: The time.
            remembered: It was believed before and kept in the ledger. It is not held against the
                catalogue of today: whoever has it in memory goes on with it when a new catalogue
                comes, and a restart must not end it.

        Raises:
            Refused: `wrong_consortium`, `expired`, `wrong_catalogue`, `unknown_endpoint`,
                `rolled_back` (older than the trusted one of this id), `not_a_sum` (it masks and
                asks for more than a mean), or a code of `signed.verify`.
        """
        payload = self._check_role("plan", content, remembered=remembered)
        plan = Plan.parse(payload)
        self._check_consortium(plan.consortium)
        _check_expiry("plan", plan.expires, now)
        if not remembered:
            self._check_catalogue(plan)
        check_visible(plan.recipe, masked=plan.privacy.masking is not None)
        if plan.plan_id in self.plans:
            _check_floor("plan", plan.version, self.plans[plan.plan_id][0].version)
        self.plans[plan.plan_id] = (plan, sha256_bytes(payload))
        return plan

    def take_round(self, content: bytes, now: datetime) -> RoundManifest:
        """Believes a round of a trusted plan whose deadline is ahead.

        Raises:
            Refused: `wrong_consortium`, `unknown_plan`, `wrong_plan`, `too_early` (before the
                plan begins), `strange_participant`, `wrong_profile` (its key is not of the kind
                that the plan asks for), `wrong_start` (other weights than the plan begins with),
                `expired`, or a code of `signed.verify`.
        """
        self._check_root(now)
        manifest = RoundManifest.parse(self._check_role("aggregator", content, kind="round"))
        self._check_consortium(manifest.consortium)
        self._check_plan(manifest.plan_id, manifest.plan_sha256)
        plan = self.plans[manifest.plan_id][0]
        if now < _moment("plan", plan.not_before):
            raise Refused("too_early", f"Plan {plan.plan_id} begins at {plan.not_before}.")
        # The offline keys say who takes part; the online key may only leave somebody out.
        if strange := sorted(set(manifest.participants) - set(plan.participants)):
            raise Refused("strange_participant", f"The plan does not name silo {strange[0]}.")
        # Else the online key could ask for less protection than the officers signed.
        if (manifest.kem_key is not None) != (plan.seal_profile == "hybrid"):
            raise Refused("wrong_profile", f"The plan seals by the {plan.seal_profile} profile.")
        start = plan.start_sha256
        if manifest.number == 1 and start is not None and manifest.base_sha256 != start:
            raise Refused("wrong_start", "The round starts from other weights than its plan names.")
        _check_expiry("round", manifest.deadline, now)
        return manifest

    def take_repository(
        self, content: bytes, channel: Channel, now: datetime, floor: Floor
    ) -> Repository:
        """Believes a state of the release repository, from its pinned root to the channel.

        Args:
            content: A `RepositoryFiles` as received; unsigned, for each file in it is signed.
            channel: The silo's own.
            now: The latest time ever seen.
            floor: The floors of the ledger.

        Raises:
            Refused: `no_repository`, or a code of `verify_repository`.
        """
        pinned = self.root.release_root_sha256
        if pinned is None:
            raise Refused("no_repository", "The trust root names no release repository.")
        return verify_repository(RepositoryFiles.parse(content), pinned, channel, now, floor)

    def take_release(
        self, offer: Offer, content: bytes, now: datetime, floor: int = 0
    ) -> ReleaseManifest:
        """Believes the manifest of a release which a believed repository offers.

        Args:
            offer: Of `take_repository`.
            content: The manifest as it arrived.
            now: For expiry.
            floor: Version of the newest release so far; a new one is above it.

        Raises:
            Refused: `wrong_manifest` (other bytes than were offered, or another release's),
                `wrong_target` (weights or golden molecules are not those that were offered),
                `wrong_consortium`, `expired`, `rolled_back`, `unknown_plan`, `wrong_plan`, or a
                code of `parse`.
        """
        listed = offer.files[MANIFEST]
        if (len(content), sha256_bytes(content)) != (listed.bytes, listed.sha256):
            raise Refused("wrong_manifest", "The manifest is not the one that was published.")
        manifest = ReleaseManifest.parse(content)
        if (manifest.release_id, manifest.version) != (offer.release_id, offer.version):
            raise Refused("wrong_manifest", "The manifest is that of another release.")
        weights = ObjectRef(sha256=manifest.weights_sha256, bytes=manifest.weights_bytes)
        if offer.files.get(WEIGHTS) != weights:
            raise Refused("wrong_target", "The manifest names other weights than were published.")
        golden = offer.files.get(GOLDEN)
        if (manifest.golden_sha256, manifest.golden_bytes) != (
            (golden.sha256, golden.bytes) if golden else (None, 0)
        ):
            raise Refused("wrong_target", "The manifest names other golden molecules.")
        self._check_consortium(manifest.consortium)
        self._check_plan(manifest.plan_id, manifest.plan_sha256)
        _check_expiry("release", manifest.expires, now)
        _check_floor("release", manifest.version, floor + 1)
        return manifest

    def receipt(self, content: bytes) -> Receipt:
        """Believes the aggregator's receipt.

        Raises:
            Refused: `wrong_consortium`, or a code of `signed.verify`.
        """
        receipt = Receipt.parse(self._check_role("aggregator", content, kind="receipt"))
        self._check_consortium(receipt.consortium)
        return receipt

    def refusal(self, content: bytes) -> Refusal:
        """Believes the aggregator's refusal.

        Raises:
            Refused: `wrong_consortium`, or a code of `signed.verify`.
        """
        refusal = Refusal.parse(self._check_role("aggregator", content, kind="refusal"))
        self._check_consortium(refusal.consortium)
        return refusal

    def handout(self, content: bytes) -> Handout:
        """Believes that the aggregator handed this set out; what is in it is checked by itself.

        Raises:
            Refused: `wrong_consortium`, or a code of `signed.verify`.
        """
        handout = Handout.parse(self._check_role("aggregator", content, kind="handout"))
        self._check_consortium(handout.consortium)
        return handout

    def masked_sum(self, content: bytes) -> Publication:
        """Believes that the aggregator published this sum; anybody may compute it again.

        Raises:
            Refused: `wrong_consortium`, or a code of `signed.verify`.
        """
        found = Publication.parse(self._check_role("aggregator", content, kind="masked_sum"))
        self._check_consortium(found.consortium)
        return found

    def looked_back(self, kind: Literal["roster", "plan", "round"], content: bytes) -> bytes:
        """Returns what a signed document says, whatever its dates: to look at what is over.

        Raises:
            Refused: A code of `signed.verify`.
        """
        role = "aggregator" if kind == "round" else kind
        return self._check_role(role, content, kind)

    def announcement(self, content: bytes) -> Announcement:
        """Believes that the aggregator announced these rounds for an audit.

        Raises:
            Refused: `wrong_consortium`, or a code of `signed.verify`.
        """
        found = Announcement.parse(self._check_role("aggregator", content, kind=KIND))
        self._check_consortium(found.consortium)
        return found

    def _check_root(self, now: datetime) -> None:
        _check_expiry("trust root", self.root.expires, now)

    def _check_role(
        self, role: str, content: bytes, kind: str = "", *, remembered: bool = False
    ) -> bytes:
        try:
            return _verify(role, content, self.root, kind)
        except Refused:
            for former in self._former if remembered else ():
                with suppress(Refused):
                    return _verify(role, content, former, kind)
            raise

    def _check_consortium(self, name: str) -> None:
        if name != self.root.consortium:
            raise Refused("wrong_consortium", f"This is for {name}, not {self.root.consortium}.")

    def _check_catalogue(self, plan: Plan) -> None:
        if self.catalogue is None or plan.catalogue_sha256 != self.catalogue_sha256:
            raise Refused("wrong_catalogue", "The plan was written for another catalogue.")
        known = {endpoint.id for endpoint in self.catalogue.endpoints}
        if strange := set(plan.endpoints) - known:
            raise Refused("unknown_endpoint", f"The plan names {sorted(strange)[0]!r}, unknown.")

    def _check_plan(self, plan_id: str, plan_sha256: str) -> None:
        if plan_id not in self.plans:
            raise Refused("unknown_plan", f"No trusted plan has the id {plan_id}.")
        if self.plans[plan_id][1] != plan_sha256:
            raise Refused("wrong_plan", f"It was made under another version of plan {plan_id}.")


def _verify(role: str, content: bytes, root: TrustRoot, kind: str = "") -> bytes:
    keys = root.roles.get(role)
    if keys is None:
        raise Refused("unknown_role", f"The trust root names no keys for the role {role}.")
    return verify(content, kind or role, keys.keys, keys.threshold)


def _moment(what: str, text: str) -> datetime:
    try:
        return from_text(text)
    except ValueError as error:  # the 31st of February has the right form
        raise Refused("malformed", f"The {what} names a date that does not exist.") from error


def _check_expiry(what: str, expires: str, now: datetime) -> None:
    if _moment(what, expires) <= now:
        raise Refused("expired", f"The {what} expired at {expires}.")


def _check_floor(what: str, version: int, floor: int) -> None:
    if version < floor:
        raise Refused("rolled_back", f"Version {version} of the {what} is older than {floor}.")
