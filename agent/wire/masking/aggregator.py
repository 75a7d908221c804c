"""The aggregator's part in a masked round, as pure decisions; it learns the sum and nothing else.

    keys -> uploads -> acks -> shares -> sum

Messages come in any order and more than once. What was taken is never replaced: the same bytes
again are nothing new, others are `equivocation`. A step is closed once, by hand of the caller, when
everybody has come or its time is over; too few then, and the round is given up, to be tried again
under a new id with new keys. Fed the same messages and closed alike, it comes to the same bytes: so
it is its messages that are kept, and not this object.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.masking import shamir
from agent.wire.masking.documents import Ack, Publication, RoundKeys, Unmask, Upload
from agent.wire.masking.prg import Words
from agent.wire.masking.seeds import commitment
from agent.wire.masking.sets import (
    Keys,
    Uploads,
    check_ack,
    check_keys,
    check_upload,
    read_ack_set,
    read_key_set,
    read_upload_set,
    write_ack_set,
    write_key_set,
    write_upload_set,
)
from agent.wire.masking.setting import Setting, check_open
from agent.wire.masking.sums import unmasked


class AggregatorRound:
    """One masked round at the aggregator.

    Args:
        setting: The round.

    Raises:
        Refused: A code of `Setting.check`.
    """

    def __init__(self, setting: Setting) -> None:
        setting.check()
        self._setting = setting
        self._keys: dict[str, bytes] = {}
        self._uploads: dict[str, bytes] = {}
        self._sealed: dict[str, Mapping[str, bytes]] = {}
        self._acks: dict[str, bytes] = {}
        self._shares: dict[str, tuple[bytes, Unmask]] = {}
        self.u1: Keys | None = None
        self.u2: Uploads | None = None
        self._acked = False
        self._began: dict[str, datetime] = {}

    def take_keys(self, content: bytes, now: datetime) -> None:
        """Takes a silo's keys.

        Raises:
            Refused: `too_late`, `equivocation`, a code of `check_keys` or `Setting.read`.
        """
        message = self._setting.read(RoundKeys, content)
        if _is_known(self._keys, message.silo, content):
            return
        check_open(self._setting.terms.keys_by, now, "keys")
        _check_not_closed(self.u1, "keys")
        check_keys(self._setting, message)
        self._keys[message.silo] = content

    def close_keys(self, now: datetime) -> bytes | None:
        """Returns U1 when everybody is in it or the time is over; None while there is time.

        Raises:
            Refused: `too_few_participants`: the round is given up.
        """
        if not self._is_due(self._keys, self._setting.manifest.participants, "keys", now):
            return None
        content = write_key_set(self._setting, self._keys)
        self.u1 = read_key_set(self._setting, content)
        self._began["uploads"] = now
        return content

    def take_upload(
        self, content: bytes, sealed: Mapping[str, bytes], vector: bytes, now: datetime
    ) -> None:
        """Takes a silo's upload; the vector is only checked, and the caller's to keep.

        Args:
            content: The signed upload.
            sealed: Its shares for each other silo of U1.
            vector: The masked words.
            now: The time.

        Raises:
            Refused: `out_of_order`, `too_late`, `equivocation`, `wrong_vector`, `missing_shares`, a
                code of `check_upload` or `Setting.read`.
        """
        keys = self._u1()
        message = self._setting.read(Upload, content)
        if _is_known(self._uploads, message.silo, content):
            return
        check_open(self._setting.manifest.deadline, now, "uploads")
        _check_not_closed(self.u2, "uploads")
        check_upload(keys, message)
        if len(vector) != 4 * message.words or sha256_bytes(vector) != message.vector_sha256:
            raise Refused("wrong_vector", "The vector is not the one that its silo signed.")
        if set(sealed) != set(keys.keys) - {message.silo}:
            raise Refused("missing_shares", "The upload has not a share for each other silo.")
        self._uploads[message.silo] = content
        self._sealed[message.silo] = dict(sealed)

    def close_uploads(self, now: datetime) -> bytes | None:
        """Returns U2, or None while there is time.

        Raises:
            Refused: A code of `read_upload_set`: the round is given up.
        """
        keys = self._u1()
        if not self._is_due(self._uploads, keys.keys, "uploads", now):
            return None
        content = write_upload_set(keys, self._uploads)
        self.u2 = read_upload_set(keys, content)
        self._began["acks"] = now
        return content

    def sealed_for(self, silo: str) -> dict[str, bytes]:
        """Returns the shares that the silos of U2 sealed for one of them."""
        return {
            sender: self._sealed[sender][silo] for sender in self._u2().uploads if sender != silo
        }

    def take_ack(self, content: bytes, now: datetime) -> None:
        """Takes an acknowledgement of U2.

        Raises:
            Refused: `out_of_order`, `too_late`, `equivocation`, a code of `check_ack` or
                `Setting.read`.
        """
        uploads = self._u2()
        message = self._setting.read(Ack, content)
        if _is_known(self._acks, message.silo, content):
            return
        check_open(self._setting.terms.acks_by, now, "acknowledgements")
        _check_not_closed(self._acked, "acknowledgements")
        check_ack(uploads, message)
        self._acks[message.silo] = content

    def close_acks(self, now: datetime) -> bytes | None:
        """Returns the set of acknowledgements, or None while there is time.

        Raises:
            Refused: `too_few_acks`: the round is given up.
        """
        uploads = self._u2()
        if not self._is_due(self._acks, uploads.uploads, "acks", now):
            return None
        content = write_ack_set(self._setting, self._acks)
        read_ack_set(self._u1(), uploads, content)
        self._acked = True
        self._began["unmask"] = now
        return content

    def take_shares(self, content: bytes, now: datetime) -> None:
        """Takes a silo's shares.

        Raises:
            Refused: `out_of_order`, `too_late`, `equivocation`, `strange_participant`,
                `wrong_upload_set`, `wrong_shares` (such as nobody may be asked for), or a code of
                `Setting.read`.
        """
        uploads = self._u2()
        message = self._setting.read(Unmask, content)
        if _is_known({one: kept for one, (kept, _) in self._shares.items()}, message.silo, content):
            return
        check_open(self._setting.terms.unmask_by, now, "shares")
        if not self._acked:
            raise Refused("out_of_order", "The uploads are not acknowledged yet.")
        if message.silo not in uploads.uploads:
            raise Refused("strange_participant", f"Silo {message.silo} is not among the uploads.")
        if message.upload_set_sha256 != uploads.sha256:
            raise Refused("wrong_upload_set", "The shares belong to another set of uploads.")
        dropped = set(self._u1().keys) - set(uploads.uploads)
        if not set(message.own) <= set(uploads.uploads) or any(
            silo not in message.own or set(of_silo) != dropped
            for silo, of_silo in message.pairs.items()
        ):
            raise Refused("wrong_shares", "The shares are not those that the sum needs.")
        self._shares[message.silo] = (content, message)

    def has_shares(self, now: datetime) -> bool:
        """Tells whether everybody's shares are here, or their time is over."""
        return self._is_due(self._shares, self._u2().uploads, "unmask", now)

    def publish(
        self, vector_of: Callable[[str], bytes], now: datetime
    ) -> tuple[Publication, Words] | None:
        """Computes the sum once enough shares are here; None while there is time.

        Args:
            vector_of: Gives a silo's masked vector as it was taken.
            now: The time.

        Raises:
            Refused: `too_few_shares` or `bad_shares`: the round is given up; or `wrong_vector`.
        """
        keys, uploads = self._u1(), self._u2()
        if not self.has_shares(now):
            return None
        own, pairs = self._seeds(keys, uploads)
        manifest = self._setting.manifest
        draft = Publication(
            consortium=manifest.consortium,
            round_id=manifest.round_id,
            manifest_sha256=self._setting.manifest_sha256,
            key_set_sha256=keys.sha256,
            upload_set_sha256=uploads.sha256,
            sum_sha256=sha256_bytes(b""),
            own=own,
            pairs=pairs,
        )
        total = unmasked(draft, keys, uploads, vector_of)
        return draft.model_copy(update={"sum_sha256": sha256_bytes(total.tobytes())}), total

    def _u1(self) -> Keys:
        if self.u1 is None:
            raise Refused("out_of_order", "The set of keys is not closed yet.")
        return self.u1

    def _u2(self) -> Uploads:
        if self.u2 is None:
            raise Refused("out_of_order", "The set of uploads is not closed yet.")
        return self.u2

    def _is_due(
        self, here: Mapping[str, object], awaited: Iterable[str], step: str, now: datetime
    ) -> bool:
        terms = self._setting.terms
        ends = {
            "keys": terms.keys_by,
            "uploads": self._setting.manifest.deadline,
            "acks": terms.acks_by,
            "unmask": terms.unmask_by,
        }
        end = from_text(ends[step])
        if step in self._began:
            # When the one before it was over early, nobody waits longer than a step takes.
            end = min(end, self._began[step] + timedelta(seconds=terms.rules.step_s))
        return set(here) >= set(awaited) or now >= end

    def _seeds(
        self, keys: Keys, uploads: Uploads
    ) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        if len(self._shares) < keys.threshold:
            raise Refused(
                "too_few_shares",
                f"{len(self._shares)} silos released shares, of {keys.threshold}.",
            )
        finder = _Finder(keys)
        own: dict[str, str] = {}
        pairs: dict[str, dict[str, str]] = {}
        for silo, upload in uploads.uploads.items():
            held = {
                keys.points[one]: bytes.fromhex(message.own[silo])
                for one, (_, message) in sorted(self._shares.items())
                if silo in message.own
            }
            own[silo] = finder.seed(held, upload.own_sha256, silo)
            for other in sorted(set(keys.keys) - set(uploads.uploads)):
                of_pair = {
                    keys.points[one]: bytes.fromhex(message.pairs[silo][other])
                    for one, (_, message) in sorted(self._shares.items())
                    if silo in message.pairs
                }
                seed = finder.seed(of_pair, upload.pair_sha256[other], silo)
                pairs.setdefault(silo, {})[other] = seed
        return own, pairs


class _Finder:
    """Finds seeds from shares of which some may be false: the commitment tells."""

    def __init__(self, keys: Keys) -> None:
        self._needed = keys.threshold
        self._weights: dict[tuple[int, ...], dict[int, int]] = {}

    def seed(self, shares: Mapping[int, bytes], sha256: str, silo: str) -> str:
        for points in self._choices(sorted(shares)):
            found = self._combined({point: shares[point] for point in points})
            if commitment(found) == sha256:
                return found.hex()
        raise Refused("bad_shares", f"The shares that {silo} made do not give back its seeds.")

    def _choices(self, points: list[int]) -> Iterator[list[int]]:
        """Yields the first t shares, then the same with one silo after the other left out."""
        if len(points) >= self._needed:
            yield points[: self._needed]
        if len(points) > self._needed:
            for one in points[: self._needed]:
                yield [p for p in points if p != one][: self._needed]

    def _combined(self, shares: Mapping[int, bytes]) -> bytes:
        points = tuple(shares)
        if points not in self._weights:
            self._weights[points] = shamir.weights(points)
        return shamir.combine(shares, self._weights[points])


def _is_known(kept: Mapping[str, bytes], silo: str, content: bytes) -> bool:
    earlier = kept.get(silo)
    if earlier is not None and earlier != content:
        raise Refused("equivocation", f"Silo {silo} has sent another message for this step.")
    return earlier is not None


def _check_not_closed(closed: object, what: str) -> None:
    if closed:
        raise Refused("too_late", f"The round takes no more {what}.")
