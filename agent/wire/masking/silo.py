"""A silo's part in a masked round, as pure decisions: what it says at each step, or why not.

    keys -> upload -> ack -> unmask

Each step makes a `Row`, which the caller commits *before* its message leaves. A row that exists is
answered with again, byte for byte; another one for its step is never made. So a silo uploads and
unmasks at most once in a round, whatever it is asked and whenever it was killed.

After Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning";
shares travel with the upload, and what is shared are seeds instead of keys, so that nothing which
is revealed says more than one pair's mask in one round.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.clock import to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.key_file import Held
from agent.wire.masking import shamir
from agent.wire.masking.documents import Ack, RoundKeys, Unmask, Upload
from agent.wire.masking.history import Past, check_differencing
from agent.wire.masking.layout import Update
from agent.wire.masking.prg import Words, add_masks
from agent.wire.masking.quantize import Rounding
from agent.wire.masking.seeds import RoundSecrets, commitment
from agent.wire.masking.sets import Keys, Uploads, read_ack_set, read_key_set, read_upload_set
from agent.wire.masking.setting import Setting, Site, check_open
from agent.wire.masking.terms import most_strangers
from agent.wire.signed import Signer, sign

Step = Literal["keys", "upload", "ack", "unmask"]


@dataclass(frozen=True, slots=True)
class Row:
    """One step of one round, as it must be kept.

    Attributes:
        round_id: Unique together with `step`.
        step: Which.
        manifest_sha256: Of the manifest that it was taken under.
        message: The signed container that leaves.
        seen: What it answers: the key set, the upload set; of an unmasking the `Past` it makes.
        secret: What later steps need; to be destroyed with the round.
    """

    round_id: str
    step: Step
    manifest_sha256: str
    message: bytes
    seen: bytes
    secret: Held


@dataclass(frozen=True, slots=True)
class Masked:
    """A masked update that is about to leave.

    Attributes:
        vector: Little-endian words; looks like chance alone.
        sealed: This silo's shares, sealed for each other silo.
        cut: How many numbers were beyond the clip.
    """

    vector: Words
    sealed: Mapping[str, bytes]
    cut: int


class SiloRound:
    """One silo in one round.

    Args:
        setting: The round, believed.
        silo: This silo.
        site: Its policy.
        signer: Its signing key.
        rows: What it has kept of this round.

    Raises:
        Refused: A code of `Setting.check` or `Setting.member`, or `replayed_round`: this id was
            used with another manifest.
    """

    def __init__(
        self, setting: Setting, silo: str, site: Site, signer: Signer, rows: Iterable[Row] = ()
    ) -> None:
        setting.check()
        setting.member(silo)
        self._setting = setting
        self._silo = silo
        self._site = site
        self._signer = signer
        self._believed: Keys | None = None
        self._rows: dict[Step, Row] = {row.step: row for row in rows}
        for row in self._rows.values():
            if row.manifest_sha256 != setting.manifest_sha256:
                raise Refused("replayed_round", f"Round {row.round_id} came with other terms.")

    def row(self, step: Step) -> Row | None:
        """Returns what was kept of a step."""
        return self._rows.get(step)

    def keys(self, groups: Collection[str], now: datetime) -> Row:
        """Makes fresh keys for the round.

        Args:
            groups: What this silo will train.
            now: The time.

        Raises:
            Refused: `too_late`.
        """
        if (kept := self._rows.get("keys")) is not None:
            return kept
        check_open(self._setting.terms.keys_by, now, "keys")
        fresh = RoundSecrets.fresh()
        message = RoundKeys(
            consortium=self._setting.manifest.consortium,
            silo=self._silo,
            round_id=self._setting.manifest.round_id,
            manifest_sha256=self._setting.manifest_sha256,
            roster_sha256=self._setting.roster_sha256,
            mask_key=fresh.mask_key,
            share_key=fresh.share_key,
            groups=tuple(sorted(set(groups))),
            created=to_text(now),
        )
        return self._keep("keys", message, b"", fresh.raw)

    def upload(self, key_set: bytes, update: Update, now: datetime) -> tuple[Row, Masked]:
        """Masks the update for the silos of a key set. Only once: then what was staged is sent.

        Args:
            key_set: U1 as received.
            update: What this silo trained.
            now: The time.

        Raises:
            Refused: `second_upload`, `out_of_order`, `too_late`, `nothing_to_share`, a code of
                `check_keys`, of `Layout.write` or of `Setting.noise`.
        """
        if "upload" in self._rows:
            raise Refused("second_upload", "This silo has masked its update for this round.")
        check_open(self._setting.manifest.deadline, now, "uploads")
        keys = self.check_keys(key_set)
        groups = self._groups(keys, update.weight)
        noise = self._setting.noise(len(keys.keys))
        vector, cut = keys.layout.write(update, groups, Rounding(), noise)
        own, pairs = self._seeds(keys)
        add_masks(
            vector,
            [own, *(seed for peer, seed in pairs.items() if peer > self._silo)],
            [seed for peer, seed in pairs.items() if peer < self._silo],
        )
        upload = Upload(
            consortium=self._setting.manifest.consortium,
            silo=self._silo,
            round_id=self._setting.manifest.round_id,
            key_set_sha256=keys.sha256,
            vector_sha256=sha256_bytes(vector.tobytes()),
            words=vector.size,
            groups=groups,
            n_min=self._site.n_min,
            counts=self._counted(keys.keys),
            own_sha256=commitment(own),
            pair_sha256={peer: commitment(seed) for peer, seed in pairs.items()},
            created=to_text(now),
        )
        kept, sealed = self._shared(keys, own, pairs)
        return self._keep("upload", upload, key_set, kept), Masked(vector, sealed, cut)

    def check_keys(self, content: bytes) -> Keys:
        """Believes U1, and that this silo's update can disappear among its silos.

        Raises:
            Refused: `out_of_order`, `wrong_key_set` (without this silo's own keys, or with other
                ones), `too_few_participants`, `peer_not_pinned`, `too_many_unpinned` (they could
                let two sets of uploads be acknowledged), or a code of `read_key_set`.
        """
        own = self._need("keys")
        keys = self._u1(content)
        if keys.messages.get(self._silo) != own.message:
            raise Refused("wrong_key_set", "The set has not the keys that this silo sent.")
        if len(keys.keys) < self._site.n_min:
            raise Refused("too_few_participants", f"Only {len(keys.keys)} silos sent keys.")
        counted = len(self._counted(keys.keys))
        if counted < self._site.n_min:
            raise Refused("peer_not_pinned", f"Only {counted} of the silos count with this site.")
        if len(keys.keys) - counted > most_strangers(len(keys.keys)):
            raise Refused("too_many_unpinned", "So many silos that do not count could undo masks.")
        return keys

    def ack(
        self, upload_set: bytes, sealed: Mapping[str, bytes], past: Sequence[Past], now: datetime
    ) -> Row:
        """Acknowledges U2, once, and keeps the shares that it may have to release for it.

        Args:
            upload_set: U2 as received.
            sealed: The shares that the others sealed for this silo; one that is missing or does
                not open is none of this silo's to release.
            past: What this silo has unmasked before.
            now: The time.

        Raises:
            Refused: `second_ack`, `out_of_order`, `too_late`, `wrong_upload` (without this silo's
                own, or with another), `differencing`, or a code of `read_upload_set`.
        """
        if (kept := self._rows.get("ack")) is not None:
            if kept.seen == upload_set:
                return kept
            raise Refused("second_ack", "This silo has acknowledged another set of uploads.")
        own = self._need("upload")
        check_open(self._setting.terms.acks_by, now, "acknowledgements")
        keys = self._u1(own.seen)
        uploads = read_upload_set(keys, upload_set)
        if uploads.messages.get(self._silo) != own.message:
            raise Refused("wrong_upload", "The set has not the upload that this silo sent.")
        self._check_past(keys, uploads, past)
        ack = Ack(
            consortium=self._setting.manifest.consortium,
            silo=self._silo,
            round_id=self._setting.manifest.round_id,
            upload_set_sha256=uploads.sha256,
            created=to_text(now),
        )
        return self._keep("ack", ack, upload_set, self._releasable(keys, uploads, sealed))

    def unmask(self, ack_set: bytes, past: Sequence[Past], now: datetime) -> Row:
        """Releases shares for the acknowledged U2: the point of no return.

        Raises:
            Refused: `out_of_order`, `too_late`, `differencing`, or a code of `read_ack_set`.
        """
        if (kept := self._rows.get("unmask")) is not None:
            return kept
        acked = self._need("ack")
        check_open(self._setting.terms.unmask_by, now, "shares")
        keys = self._u1(self._need("upload").seen)
        uploads = read_upload_set(keys, acked.seen)
        read_ack_set(keys, uploads, ack_set)
        past_of_this = self._check_past(keys, uploads, past)
        # Made when it was acknowledged, of the shares that U2 asks for: nothing else was opened.
        message = Unmask.parse(acked.secret.raw)
        return self._keep("unmask", message, past_of_this.to_bytes(), b"")

    def _keep(
        self, step: Step, message: RoundKeys | Upload | Ack | Unmask, seen: bytes, secret: bytes
    ) -> Row:
        row = Row(
            round_id=self._setting.manifest.round_id,
            step=step,
            manifest_sha256=self._setting.manifest_sha256,
            message=sign(message.kind, message.to_bytes(), self._signer),
            seen=seen,
            secret=Held("masking", secret),
        )
        self._rows[step] = row
        return row

    def _need(self, step: Step) -> Row:
        row = self._rows.get(step)
        if row is None:
            raise Refused("out_of_order", f"This silo has not come to the step {step!r} yet.")
        return row

    def _counted(self, silos: Iterable[str]) -> tuple[str, ...]:
        return self._site.counted(self._setting, silos, self._silo)

    def _groups(self, keys: Keys, trained: Collection[str]) -> tuple[str, ...]:
        """Returns the groups in which enough silos that count with this site take part."""
        mine = []
        for group in keys.layout.groups:
            others = (silo for silo, one in keys.keys.items() if group in one.groups)
            declared = group in keys.keys[self._silo].groups and group in trained
            if declared and len(self._counted(others)) >= self._site.n_min:
                mine.append(group)
        if not mine:
            raise Refused("nothing_to_share", "No part of the update would be hidden by others.")
        return tuple(mine)

    def _u1(self, content: bytes) -> Keys:
        if self._believed is None or self._believed.sha256 != sha256_bytes(content):
            self._believed = read_key_set(self._setting, content)
        return self._believed

    def _round_secrets(self) -> RoundSecrets:
        return RoundSecrets(self._need("keys").secret.raw)

    def _seeds(self, keys: Keys) -> tuple[bytes, dict[str, bytes]]:
        own = self._round_secrets()
        return secrets.token_bytes(shamir.SEED_BYTES), {
            peer: own.pair_seed(one.mask_key, keys.binding, self._silo, peer)
            for peer, one in keys.keys.items()
            if peer != self._silo
        }

    def _shared(
        self, keys: Keys, own: bytes, pairs: Mapping[str, bytes]
    ) -> tuple[bytes, dict[str, bytes]]:
        """Splits the seeds: this silo's own shares, and those of the others, sealed.

        What one silo gets is the share of the own seed, then those of the pairs in name order.
        """
        n, needed = len(keys.keys), keys.threshold
        split = [shamir.split(seed, n, needed) for seed in (own, *pairs.values())]
        rounds = self._round_secrets()
        kept, sealed = b"", {}
        for place, (peer, one) in enumerate(keys.keys.items()):
            shares = b"".join(of_seed[place] for of_seed in split)
            if peer == self._silo:
                kept = shares
            else:
                sealed[peer] = rounds.seal(shares, one.share_key, keys.binding, self._silo, peer)
        return kept, sealed

    def _releasable(self, keys: Keys, uploads: Uploads, sealed: Mapping[str, bytes]) -> bytes:
        own, pairs = {}, {}
        dropped = [silo for silo in keys.keys if silo not in uploads.uploads]
        for silo in uploads.uploads:
            try:
                shares = self._opened(keys, silo, sealed)
            except Refused:
                continue  # whoever sealed badly spoils its own sum at most
            own[silo] = shares[silo]
            if dropped:
                pairs[silo] = {other: shares[other] for other in dropped}
        return Unmask(
            consortium=self._setting.manifest.consortium,
            silo=self._silo,
            round_id=self._setting.manifest.round_id,
            upload_set_sha256=uploads.sha256,
            own=own,
            pairs=pairs,
        ).to_bytes()

    def _opened(self, keys: Keys, silo: str, sealed: Mapping[str, bytes]) -> dict[str, str]:
        """Returns the shares that a silo made for this one: of its own seed under its own name."""
        if silo == self._silo:
            content = self._need("upload").secret.raw
        else:
            own = self._round_secrets()
            sender = keys.keys[silo].share_key
            content = own.unseal(sealed.get(silo, b""), sender, keys.binding, self._silo, silo)
        size = shamir.SHARE_BYTES
        names = [silo, *(other for other in keys.keys if other != silo)]
        if len(content) != size * len(names):
            raise Refused("bad_shares", f"The shares of {silo} have a wrong length.")
        return {
            name: content[size * place : size * (place + 1)].hex()
            for place, name in enumerate(names)
        }

    def _check_past(self, keys: Keys, uploads: Uploads, past: Sequence[Past]) -> Past:
        asked = Past(
            round_id=self._setting.manifest.round_id,
            base_sha256=self._setting.manifest.base_sha256,
            participants=tuple(uploads.uploads),
            contributors={g: tuple(sorted(who)) for g, who in uploads.contributors.items()},
        )
        known = {*keys.keys, *(silo for one in past for silo in one.participants)}
        check_differencing(past, asked, self._counted(known), self._site.n_min)
        return asked
