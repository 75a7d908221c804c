"""A malicious aggregator against honest silos: it keeps all it was told and asks for anything.

Some silos are puppets, whose keys it has. Honest silos are built anew from their rows for each
question, as after a kill. What it could compute is derived from the shares that it holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from agent.clock import to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.masking.documents import Ack, AckSet, KeySet, Unmask, Upload, UploadSet, in_order
from agent.wire.masking.history import Past
from agent.wire.masking.setting import Setting, Site
from agent.wire.masking.silo import Row, SiloRound
from agent.wire.masking.terms import threshold
from agent.wire.signed import parse, sign
from tests.kit.consortium import START
from tests.kit.masking import ACKS_BY, DEADLINE, GROUPS, KEYS, KEYS_BY, RULES, pins, setting, update

Names = tuple[str, ...]
_RULES = RULES.model_copy(update={"n_min": 3})  # each honest silo wants as many or more


@dataclass
class World:
    """What the server holds of one key set of one round."""

    setting: Setting
    key_set: bytes
    silos: Names
    uploads: dict[str, bytes] = field(default_factory=dict)
    sealed: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    acks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    upload_sets: dict[str, bytes] = field(default_factory=dict)
    shares: list[Unmask] = field(default_factory=list)

    @property
    def threshold(self) -> int:
        return threshold(len(self.silos))

    @property
    def base(self) -> str:
        return self.setting.manifest.base_sha256

    def groups(self, silo: str) -> Names:
        return Upload.parse(parse(self.uploads[silo]).payload).groups


class Server:
    """The aggregator and its puppets.

    Args:
        honest: Silos that follow the protocol.
        puppets: Silos that are the server's own.
        n_min: What each honest silo's policy wants; it pins the honest ones.
        trains: Which groups an honest silo trains, where not all.
    """

    def __init__(
        self,
        honest: Names,
        puppets: Names,
        n_min: int,
        trains: Mapping[str, Names] | None = None,
    ) -> None:
        self.honest, self.puppets, self.n_min = honest, puppets, n_min
        self.site = Site(n_min, pins(*honest))
        self.trains = dict(trains or {})
        self.rows: dict[tuple[str, str], list[Row]] = {}
        self.past: dict[str, list[Past]] = {silo: [] for silo in honest}
        self.keys: dict[str, dict[str, bytes]] = {}
        self.puppet_rows: dict[tuple[str, str], Row] = {}
        self.worlds: dict[str, World] = {}
        self.codes: list[str] = []

    @property
    def everybody(self) -> Names:
        return tuple(sorted((*self.honest, *self.puppets)))

    def round(self, round_id: str, base: str, silos: Iterable[str]) -> Setting:
        """Writes a round as the online key may; rules of the plan are those of the kit."""
        return setting(sorted(silos), round_id, _RULES, base)

    def ask_keys(self, of: Setting, silo: str) -> None:
        messages = self.keys.setdefault(of.manifest_sha256, {})
        if silo in self.puppets:
            made = SiloRound(of, silo, Site(3), KEYS[silo]).keys(GROUPS, START)
            self.puppet_rows.setdefault((silo, of.manifest_sha256), made)
            messages[silo] = self.puppet_rows[silo, of.manifest_sha256].message
            return
        row = self._ask(of, silo, lambda one: one.keys(self.trains.get(silo, GROUPS), START))
        if row is not None:
            messages[silo] = row.message

    def key_set(self, of: Setting, silos: Iterable[str]) -> World:
        """Makes a set of some of the keys; nothing says that all silos are handed the same."""
        known = self.keys.get(of.manifest_sha256, {})
        chosen = {silo: known[silo] for silo in sorted(silos) if silo in known}
        content = KeySet(round_id=of.manifest.round_id, keys=in_order(chosen)).to_bytes()
        world = World(of, content, tuple(chosen))
        return self.worlds.setdefault(sha256_bytes(content), world)

    def ask_upload(self, world: World, silo: str) -> None:
        if silo in self.puppets:
            self._puppet_upload(world, silo)
            return
        made = []

        def step(one: SiloRound) -> Row:
            row, masked = one.upload(
                world.key_set, update(silo, self.trains.get(silo, GROUPS)), KEYS_BY
            )
            made.append(masked)
            return row

        row = self._ask(world.setting, silo, step)
        if row is not None:
            world.uploads[silo] = row.message
            world.sealed[silo] = made[0].sealed

    def _puppet_upload(self, world: World, silo: str) -> None:
        row = self.puppet_rows.get((silo, world.setting.manifest_sha256))
        if row is None:
            return
        try:
            one = SiloRound(world.setting, silo, Site(3), KEYS[silo], [row])
            upload, masked = one.upload(world.key_set, update(silo), KEYS_BY)
        except Refused:
            return  # the set is such that an upload cannot even be made
        world.uploads.setdefault(silo, upload.message)
        world.sealed.setdefault(silo, masked.sealed)

    def upload_set(self, world: World, silos: Iterable[str]) -> str:
        chosen = {silo: world.uploads[silo] for silo in silos if silo in world.uploads}
        content = UploadSet(
            round_id=world.setting.manifest.round_id,
            key_set_sha256=sha256_bytes(world.key_set),
            uploads=in_order(chosen),
        ).to_bytes()
        world.upload_sets[sha256_bytes(content)] = content
        return sha256_bytes(content)

    def ask_ack(self, world: World, u2: str, silo: str) -> None:
        if silo in self.puppets:
            message = Ack(
                consortium="kit",
                silo=silo,
                round_id=world.setting.manifest.round_id,
                upload_set_sha256=u2,
                created=to_text(DEADLINE),
            )
            signed = sign("masked_ack", message.to_bytes(), KEYS[silo])
            world.acks.setdefault(u2, {})[silo] = signed
            return
        sealed = {one: of[silo] for one, of in world.sealed.items() if silo in of}
        row = self._ask(
            world.setting,
            silo,
            lambda one: one.ack(world.upload_sets[u2], sealed, self.past[silo], DEADLINE),
        )
        if row is not None:
            world.acks.setdefault(u2, {})[silo] = row.message

    def ask_shares(self, world: World, u2: str, silo: str) -> None:
        if silo in self.puppets:
            return  # theirs are counted as known from the start
        content = AckSet(
            round_id=world.setting.manifest.round_id, acks=in_order(world.acks.get(u2, {}))
        ).to_bytes()
        row = self._ask(
            world.setting, silo, lambda one: one.unmask(content, self.past[silo], ACKS_BY)
        )
        if row is not None:
            world.shares.append(Unmask.parse(parse(row.message).payload))

    def run(self, of: Setting, *, lost: Iterable[str] = ()) -> World:
        """Runs a round as an honest aggregator would, with some uploads lost."""
        silos = of.manifest.participants
        for silo in silos:
            self.ask_keys(of, silo)
        world = self.key_set(of, silos)
        for silo in silos:
            self.ask_upload(world, silo)
        u2 = self.upload_set(world, [silo for silo in silos if silo not in set(lost)])
        self.finish(world, u2, silos)
        return world

    def finish(self, world: World, u2: str, silos: Iterable[str]) -> None:
        for silo in (*silos, *self.puppets):
            self.ask_ack(world, u2, silo)
        for silo in silos:
            self.ask_shares(world, u2, silo)

    def _ask(self, of: Setting, silo: str, step: Callable[[SiloRound], Row]) -> Row | None:
        rows = self.rows.setdefault((silo, of.manifest.round_id), [])
        try:
            row = step(SiloRound(of, silo, self.site, KEYS[silo], rows))
        except Refused as refusal:
            self.codes.append(refusal.code)
            return None
        if row not in rows:
            rows.append(row)
            if row.step == "unmask":
                self.past[silo].append(Past.parse(row.seen))
        return row

    # -- what it can compute

    def _known(self, world: World, silo: str, other: str | None) -> bool:
        """Tells whether it has a seed that `silo` split: its own, or that of its pair."""
        if other in self.puppets:
            return True
        points = set(self.puppets) & set(world.silos)
        for one in world.shares:
            if (other is None and silo in one.own) or (
                other is not None and other in one.pairs.get(silo, {})
            ):
                points.add(one.silo)
        return len(points) >= world.threshold

    def _hidden(self, world: World, one: str, other: str) -> bool:
        known = self._known(world, one, other) if one in world.uploads else False
        back = self._known(world, other, one) if other in world.uploads else False
        return not (known or back)

    def sums(self) -> Iterator[tuple[World, frozenset[str]]]:
        """Yields the sets of honest silos whose sum it can compute, and no smaller ones exist."""
        for world in self.worlds.values():
            honest = [silo for silo in world.silos if silo in self.honest]
            for part in self._parts(world, honest):
                if all(s in world.uploads and self._known(world, s, None) for s in part):
                    yield world, part

    def _parts(self, world: World, honest: list[str]) -> list[frozenset[str]]:
        """Joins silos whose common mask it lacks: only together do their masks cancel."""
        part = {silo: {silo} for silo in honest}
        for one, other in combinations(honest, 2):
            if part[one] is not part[other] and self._hidden(world, one, other):
                joined = part[one] | part[other]
                for silo in joined:
                    part[silo] = joined
        return [frozenset(silos) for silos in {id(s): s for s in part.values()}.values()]

    def leaks(self) -> list[str]:
        """Returns what it can compute of fewer than n_min honest silos, alone or by subtraction."""
        found = []
        learned = list(self.sums())
        for world, part in learned:
            for what, silos in self._views(world, part).items():
                if 0 < len(silos) < self.n_min:
                    found.append(f"{what} of {sorted(silos)}")
        for (world, part), (other, again) in combinations(learned, 2):
            if world.base == other.base:
                views, others = self._views(world, part), self._views(other, again)
                found += [
                    f"{what}: {sorted(views[what] ^ others[what])}"
                    for what in views.keys() & others.keys()
                    if len(views[what] ^ others[what]) < self.n_min and views[what] & others[what]
                ]
        return found

    def _views(self, world: World, part: frozenset[str]) -> dict[str, frozenset[str]]:
        """Returns who has more than zeros in each group of a sum."""
        return {
            group: frozenset(silo for silo in part if group in world.groups(silo))
            for group in GROUPS
        }
