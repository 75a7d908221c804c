"""Silos and rounds of secure aggregation in memory, with real keys and a small network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire.documents import MaskRules, MaskTerms, Member, Plan, Privacy, Roster, RoundManifest
from agent.wire.masking.aggregator import AggregatorRound
from agent.wire.masking.layout import Update
from agent.wire.masking.setting import Setting, Site
from agent.wire.masking.silo import Masked, Row, SiloRound
from agent.wire.masking.terms import bits_for
from agent.wire.network import expected_shapes
from agent.wire.signed import key_id
from agent.wire.update import group_of
from tests.kit.consortium import FEATURES, HEADS, NETWORK, RECIPE, REFERENCE, START

if TYPE_CHECKING:
    from agent.wire.masking.history import Past

RULES = MaskRules(n_min=5, clip=0.5, bias_clip=10.0, step_s=10_800.0)
SHAPES = expected_shapes(NETWORK, FEATURES, HEADS)
GROUPS = ("trunk", *(f"head.{head}" for head in HEADS))
BASE = "22" * 32
HOUR = timedelta(hours=1)
KEYS_BY, DEADLINE, ACKS_BY, UNMASK_BY = (START + hours * HOUR for hours in (1, 2, 3, 4))


def name(place: int) -> str:
    return f"silo-{place:02}"


KEYS = {name(place): new_signing("sign") for place in range(130)}


def member(silo: str, **changes: object) -> Member:
    return Member(
        silo=silo,
        legal_entity=silo,
        sign_key=KEYS[silo].public_hex,
        seal_key="00" * 32,
        courier_key="00" * 32,
        not_before="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
    ).model_copy(update=changes)


def roster(silos: Iterable[str]) -> Roster:
    return Roster(
        consortium="kit",
        version=1,
        issued="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
        members=tuple(member(silo) for silo in silos),
    )


def plan(participants: Sequence[str], rules: MaskRules | None = RULES, **recipe: object) -> Plan:
    return Plan(
        consortium="kit",
        plan_id="p",
        version=1,
        catalogue_sha256="11" * 32,
        endpoints=HEADS,
        features=FEATURES,
        reference_sha256=REFERENCE,
        network=NETWORK,
        recipe=RECIPE.model_copy(update={"weight_cap": 4.0, **recipe}),
        privacy=Privacy(masking=rules),
        participants=tuple(participants),
        quorum=3,
        round_deadline_s=3600.0,
        fold_key="33" * 32,
        not_before="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
    )


def terms(silos: int, rules: MaskRules = RULES, **changes: object) -> MaskTerms:
    return MaskTerms(
        roster_sha256="44" * 32,
        rules=rules,
        bits=bits_for(silos, rules.headroom),
        keys_by=to_text(KEYS_BY),
        acks_by=to_text(ACKS_BY),
        unmask_by=to_text(UNMASK_BY),
    ).model_copy(update=changes)


def setting(
    silos: int | Sequence[str],
    round_id: str = "p.r1.a1",
    rules: MaskRules = RULES,
    base: str = BASE,
    members: Roster | None = None,
) -> Setting:
    """Returns a round of so many silos, or of these."""
    names = [name(place) for place in range(silos)] if isinstance(silos, int) else silos
    manifest = RoundManifest(
        consortium="kit",
        round_id=round_id,
        plan_id="p",
        plan_sha256="55" * 32,
        number=1,
        attempt=1,
        base_sha256=base,
        base_bytes=1,
        seal_key="66" * 32,
        participants=tuple(names),
        opens=to_text(START),
        deadline=to_text(DEADLINE),
        masking=terms(len(names), rules),
    )
    return of_manifest(manifest, plan(names, rules), members or roster(names))


def of_manifest(manifest: RoundManifest, of_plan: Plan, members: Roster) -> Setting:
    return Setting(manifest, sha256_bytes(manifest.to_bytes()), of_plan, members, "44" * 32)


def with_manifest(before: Setting, **changes: object) -> Setting:
    manifest = before.manifest.model_copy(update=changes)
    return replace(before, manifest=manifest, manifest_sha256=sha256_bytes(manifest.to_bytes()))


def pins(*silos: str) -> frozenset[str]:
    return frozenset(key_id(KEYS[silo].public_hex) for silo in silos)


def update(silo: str, groups: Iterable[str] = GROUPS, weight: float = 2.0) -> Update:
    """Returns what a silo trained: other numbers for each, and the same at every call."""
    chance = np.random.default_rng(int(sha256_bytes(silo.encode())[:8], 16))
    chosen = set(groups)
    products = {
        one: (weight * chance.normal(0.0, 0.05, shape)).astype(np.float32)
        for one, shape in SHAPES.items()
        if group_of(one) in chosen
    }
    return Update(products, dict.fromkeys(sorted(chosen), weight))


def plain_sum(updates: Iterable[Update]) -> dict[str, Any]:
    """Returns the float64 sum by tensor that a masked one must come to."""
    total: dict[str, Any] = {}
    for one in updates:
        for tensor, values in one.products.items():
            total[tensor] = total.get(tensor, 0.0) + values.astype(np.float64)
    return total


class Round:
    """A whole round of honest silos, driven step by step.

    Args:
        of: The round.
        trains: Which groups a silo trains, where not all of them.
        sites: Policies of silos, where not that of the kit.
    """

    def __init__(
        self,
        of: Setting,
        trains: Mapping[str, Iterable[str]] | None = None,
        sites: Mapping[str, Site] | None = None,
    ) -> None:
        self.setting = of
        self.names = sorted(of.manifest.participants)
        self.trains = {silo: tuple((trains or {}).get(silo, GROUPS)) for silo in self.names}
        self.silos = {
            silo: SiloRound(of, silo, (sites or {}).get(silo, Site()), self.key(silo))
            for silo in self.names
        }
        self.aggregator = AggregatorRound(of)
        self.vectors: dict[str, bytes] = {}
        self.sealed: dict[str, Mapping[str, bytes]] = {}
        self.past: dict[str, list[Past]] = {silo: [] for silo in self.names}

    def key(self, silo: str) -> SigningIdentity:
        return KEYS[silo]

    def step_keys(self, *away: str) -> bytes:
        for silo in self.names:
            if silo not in away:
                row = self.silos[silo].keys(self.trains[silo], START)
                self.aggregator.take_keys(row.message, START)
        content = self.aggregator.close_keys(KEYS_BY)
        assert content is not None
        return content

    def masked(self, silo: str, key_set: bytes, now: datetime = KEYS_BY) -> tuple[Row, Masked]:
        return self.silos[silo].upload(key_set, update(silo, self.trains[silo]), now)

    def step_uploads(self, key_set: bytes, *away: str) -> bytes:
        u1 = self.aggregator.u1
        assert u1 is not None
        for silo in u1.keys:
            if silo not in away:
                row, masked = self.masked(silo, key_set)
                self.vectors[silo] = masked.vector.tobytes()
                self.sealed[silo] = masked.sealed
                self.aggregator.take_upload(row.message, masked.sealed, self.vectors[silo], KEYS_BY)
        content = self.aggregator.close_uploads(DEADLINE)
        assert content is not None
        return content

    def step_acks(self, upload_set: bytes, *away: str) -> bytes:
        u2 = self.aggregator.u2
        assert u2 is not None
        for silo in u2.uploads:
            if silo not in away:
                row = self.ack(silo, upload_set)
                self.aggregator.take_ack(row.message, DEADLINE)
        content = self.aggregator.close_acks(ACKS_BY)
        assert content is not None
        return content

    def ack(self, silo: str, upload_set: bytes, now: datetime = DEADLINE) -> Row:
        sealed = self.aggregator.sealed_for(silo)
        return self.silos[silo].ack(upload_set, sealed, self.past[silo], now)

    def unmask(self, silo: str, ack_set: bytes, now: datetime = ACKS_BY) -> Row:
        return self.silos[silo].unmask(ack_set, self.past[silo], now)

    def step_shares(self, ack_set: bytes, *away: str) -> None:
        u2 = self.aggregator.u2
        assert u2 is not None
        for silo in u2.uploads:
            if silo not in away and self.silos[silo].row("ack") is not None:
                self.aggregator.take_shares(self.unmask(silo, ack_set).message, ACKS_BY)

    def vector_of(self, silo: str) -> bytes:
        return self.vectors[silo]
