"""What secure aggregation costs: rows of `benchmarks.protocol --parts masking`.

Processor time of one process. Per silo: everything of a round but the network, that is keys, the
key set's signatures, rounding, masks, sealed shares, acknowledgement and unmasking. At the
aggregator: all messages of a hundred silos checked, seeds put together, masks taken off.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire.averaging import Sums
from agent.wire.documents import (
    FeatureSpec,
    MaskRules,
    MaskTerms,
    Member,
    NetworkSpec,
    Plan,
    Privacy,
    Recipe,
    Roster,
    RoundManifest,
)
from agent.wire.masking.aggregator import AggregatorRound
from agent.wire.masking.layout import Update
from agent.wire.masking.setting import Setting, Site
from agent.wire.masking.silo import Masked, Row, SiloRound
from agent.wire.masking.terms import bits_for
from agent.wire.network import expected_shapes
from benchmarks.report import Row as Figure
from benchmarks.report import below

_START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_TRAINING, _ACKS, _UNMASK, _END = (_START + timedelta(hours=n) for n in (1, 2, 3, 4))
_ENDPOINTS = ("logd", "solubility")
_HASH = 4096
# The size of a change after a few epochs of Adam; the clip is some forty times as large.
_CHANGE = 0.005


def _plan(parameters: int, silos: Sequence[str], rules: MaskRules) -> Plan:
    return Plan(
        consortium="bench",
        plan_id="p",
        version=1,
        catalogue_sha256="11" * 32,
        endpoints=_ENDPOINTS,
        features=FeatureSpec(
            version="onggi-fast-1", radius=2, hash_size=_HASH, descriptors=(), clip=5.0
        ),
        reference_sha256="22" * 32,
        network=NetworkSpec(hidden=(parameters // _HASH,), dropout=0.0, seed=1),
        recipe=Recipe(
            rounds=1,
            local_epochs=1,
            batch_size=64,
            learning_rate=0.001,
            weight_decay=0.0,
            weighting="uniform",
            server_momentum=0.0,
            release_every=1,
            finetune_epochs=1,
        ),
        privacy=Privacy(masking=rules),
        participants=tuple(silos),
        quorum=len(silos),
        round_deadline_s=3600.0,
        fold_key="33" * 32,
        not_before=to_text(_START),
        expires=to_text(_START + timedelta(days=30)),
    )


def _member(silo: str, key: SigningIdentity) -> Member:
    return Member(
        silo=silo,
        legal_entity=silo,
        sign_key=key.public_hex,
        seal_key="00" * 32,
        courier_key="00" * 32,
        not_before=to_text(_START),
        expires=to_text(_START + timedelta(days=365)),
    )


@dataclass(frozen=True)
class Consortium:
    """Silos with keys, a round, and one update that all of them have."""

    keys: dict[str, SigningIdentity]
    setting: Setting
    update: Update

    @classmethod
    def of(cls, silos: int, parameters: int) -> "Consortium":
        """Makes so many silos, and a network of about so many parameters."""
        keys = {f"silo-{place:03}": new_signing("sign") for place in range(silos)}
        rules = MaskRules(clip=40 * _CHANGE)
        plan = _plan(parameters, tuple(keys), rules)
        terms = MaskTerms(
            roster_sha256="44" * 32,
            rules=rules,
            bits=bits_for(silos),
            keys_by=to_text(_TRAINING),
            acks_by=to_text(_UNMASK),
            unmask_by=to_text(_END),
        )
        manifest = RoundManifest(
            consortium="bench",
            round_id="p.r1.a1",
            plan_id="p",
            plan_sha256="55" * 32,
            number=1,
            attempt=1,
            base_sha256="66" * 32,
            base_bytes=1,
            seal_key="77" * 32,
            participants=tuple(keys),
            opens=to_text(_START),
            deadline=to_text(_ACKS),
            masking=terms,
        )
        roster = Roster(
            consortium="bench",
            version=1,
            issued=to_text(_START),
            expires=to_text(_START + timedelta(days=365)),
            members=tuple(_member(silo, key) for silo, key in keys.items()),
        )
        setting = Setting(manifest, sha256_bytes(manifest.to_bytes()), plan, roster, "44" * 32)
        return cls(keys, setting, _update(plan))

    def silo(self, name: str) -> SiloRound:
        """Returns one silo's machine."""
        return SiloRound(self.setting, name, Site(), self.keys[name])


def _update(plan: Plan) -> Update:
    chance = np.random.default_rng(1)
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    products = {
        name: chance.normal(0.0, _CHANGE, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return Update(products, {"trunk": 1.0} | {f"head.{one}": 1.0 for one in _ENDPOINTS})


class Rehearsal:
    """A round of many silos, of which one is measured and the others are only there.

    Args:
        consortium: The silos.
        lost: The last so many drop out after their keys.
    """

    def __init__(self, consortium: Consortium, lost: int = 0) -> None:
        self._all = consortium
        self.names = list(consortium.keys)
        self.left = self.names[: len(self.names) - lost]
        self.silos = {name: consortium.silo(name) for name in self.names}
        self.first, self.cpu_s = self.names[0], 0.0
        self.vectors: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[Row, Masked]] = {}
        self.keys: dict[str, Row] = {}
        self.acks: list[bytes] = []
        self.shares: list[bytes] = []

    def _timed(self, name: str, step: Callable[[], object]) -> None:
        start_s = time.process_time()
        step()
        if name == self.first:
            self.cpu_s += time.process_time() - start_s

    def run(self) -> None:
        """Runs every step at every silo; the sets are made by an aggregator beside it."""
        aggregator = AggregatorRound(self._all.setting)
        groups = tuple(self._all.update.weight)
        for name in self.names:
            self._timed(name, partial(self._keep_keys, name, groups))
            aggregator.take_keys(self.keys[name].message, _START)
        key_set = aggregator.close_keys(_START) or b""
        for name in self.left:
            self._timed(name, partial(self._upload, name, key_set))
            row, masked = self.uploads[name]
            self.vectors[name] = masked.vector.tobytes()
            aggregator.take_upload(row.message, masked.sealed, self.vectors[name], _TRAINING)
        upload_set = aggregator.close_uploads(_ACKS) or b""
        for name in self.left:
            sealed = aggregator.sealed_for(name)
            self._timed(name, partial(self._ack, name, upload_set, sealed))
            aggregator.take_ack(self.acks[-1], _ACKS)
        ack_set = aggregator.close_acks(_ACKS) or b""
        for name in self.left:
            self._timed(name, partial(self._unmask, name, ack_set))

    def _keep_keys(self, name: str, groups: tuple[str, ...]) -> None:
        self.keys[name] = self.silos[name].keys(groups, _START)

    def _upload(self, name: str, key_set: bytes) -> None:
        self.uploads[name] = self.silos[name].upload(key_set, self._all.update, _TRAINING)

    def _ack(self, name: str, upload_set: bytes, sealed: dict[str, bytes]) -> None:
        self.acks.append(self.silos[name].ack(upload_set, sealed, [], _ACKS).message)

    def _unmask(self, name: str, ack_set: bytes) -> None:
        self.shares.append(self.silos[name].unmask(ack_set, [], _UNMASK).message)

    def summed(self) -> tuple[float, float]:
        """Feeds all messages to a fresh aggregator.

        Returns:
            Its processor time, and the relative error of the sum in the L2 norm.
        """
        start_s = time.process_time()
        aggregator = AggregatorRound(self._all.setting)
        for row in self.keys.values():
            aggregator.take_keys(row.message, _START)
        aggregator.close_keys(_START)
        for name, (row, masked) in self.uploads.items():
            aggregator.take_upload(row.message, masked.sealed, self.vectors[name], _TRAINING)
        aggregator.close_uploads(_ACKS)
        for content in self.acks:
            aggregator.take_ack(content, _ACKS)
        aggregator.close_acks(_ACKS)
        for content in self.shares:
            aggregator.take_shares(content, _UNMASK)
        done = aggregator.publish(self.vectors.__getitem__, _UNMASK)
        cpu_s = time.process_time() - start_s
        keys = aggregator.u1
        if done is None or keys is None:
            raise RuntimeError("the round did not end in a sum")
        return cpu_s, _relative_error(keys.layout.read(done[1]), self._all.update, len(self.left))


def _relative_error(sums: Sums, update: Update, silos: int) -> float:
    off = whole = 0.0
    for name, plain in update.products.items():
        expected = plain.astype(np.float64) * silos
        off += float(((sums.products[name] - expected) ** 2).sum())
        whole += float((expected**2).sum())
    return math.sqrt(off / whole)


def masking_rows(runs: int) -> Iterator[Figure]:
    """Measures a silo's and the aggregator's part, and how far the sum is from the plain one."""
    small = Consortium.of(20, 1_000_000)
    times, errors = [], []
    for _ in range(min(runs, 3)):
        one = Rehearsal(small)
        one.run()
        times.append(1000 * one.cpu_s)
        errors.append(one.summed()[1])
    yield below("SA-1, one silo, 1 M parameters, n = 20: processor time", times, "ms", 100.0)
    yield below("SA-1, masked against plain sum: relative error", errors, "", 1e-5)
    times = []
    large = Consortium.of(20, 10_000_000)
    for _ in range(min(runs, 2)):
        one = Rehearsal(large)
        one.run()
        times.append(one.cpu_s)
    yield below("SA-1, one silo, 10 M parameters, n = 20: processor time", times, "s", 1.0)
    many = Rehearsal(Consortium.of(100, 1_000_000), lost=2)
    many.run()
    times = [many.summed()[0] for _ in range(min(runs, 3))]
    yield below("SA-1, aggregator, 1 M, n = 100, 2 dropped: processor time", times, "s", 4.0)
    yield Figure("SA-1, one silo, 1 M, n = 100", 1000 * many.cpu_s, "ms", runs=[1000 * many.cpu_s])
