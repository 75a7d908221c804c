"""A masked round looked back at: its signed documents, and its sum computed again from them.

The record of a round are the containers that the consortium published: roster, plan, manifest, the
sets of keys and uploads, and the sum. The vectors are objects that the uploads name by their hash.
Nothing in it is a secret of anybody: seeds of masks that are lifted, and vectors under those that
are not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.averaging import Sums
from agent.wire.documents import Plan, Roster, RoundManifest
from agent.wire.masking.sets import Keys, Uploads, read_key_set, read_upload_set
from agent.wire.masking.setting import Setting
from agent.wire.masking.sums import replay
from agent.wire.trusted import Trusted

RecordPart = Literal["roster", "plan", "round", "keys", "uploads", "sum"]
PARTS: tuple[RecordPart, ...] = get_args(RecordPart)
Record = Mapping[RecordPart, bytes]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A sum that was computed again and is the published one, bit by bit.

    Attributes:
        round_id: Of the round.
        keys: U1.
        uploads: U2.
        sum_sha256: Of the sum's words.
        sums: What it stands for.
    """

    round_id: str
    keys: Keys
    uploads: Uploads
    sum_sha256: str
    sums: Sums

    @property
    def dropped(self) -> tuple[str, ...]:
        """The silos that sent keys and are not in the sum."""
        return tuple(silo for silo in self.keys.keys if silo not in self.uploads.uploads)


def replay_record(
    record: Record, round_id: str, trusted: Trusted, vector_of: Callable[[str], bytes]
) -> Replayed:
    """Computes a round's sum again, believing nothing but signatures of keys that are trusted.

    Dates are not looked at, since the round is over.

    Args:
        record: The containers, as they came.
        round_id: Of which round they shall be.
        trusted: With the root in force.
        vector_of: Gives a vector by its SHA-256; asked for one after the other.

    Raises:
        Refused: `missing_part`, `wrong_plan`, `wrong_round`, `bad_set`, or a code of
            `Trusted.looked_back`, `Setting.check`, `read_key_set`, `read_upload_set` or
            `sums.replay`.
    """
    if missing := [part for part in PARTS if part not in record]:
        raise Refused("missing_part", f"The record lacks {', '.join(missing)}.")
    setting = _setting(record, trusted)
    setting.check()
    keys = read_key_set(setting, _set(record, "keys", round_id, trusted))
    uploads = read_upload_set(keys, _set(record, "uploads", round_id, trusted))
    publication = trusted.masked_sum(record["sum"])
    for one in (setting.manifest.round_id, publication.round_id):
        _check_round(one, round_id)
    sums = replay(
        publication, keys, uploads, lambda silo: vector_of(uploads.uploads[silo].vector_sha256)
    )
    return Replayed(round_id, keys, uploads, publication.sum_sha256, sums)


def _setting(record: Record, trusted: Trusted) -> Setting:
    roster = trusted.looked_back("roster", record["roster"])
    plan = trusted.looked_back("plan", record["plan"])
    manifest = trusted.looked_back("round", record["round"])
    found = RoundManifest.parse(manifest)
    if found.plan_sha256 != sha256_bytes(plan):
        raise Refused("wrong_plan", "The round was begun under another plan.")
    return Setting(
        found, sha256_bytes(manifest), Plan.parse(plan), Roster.parse(roster), sha256_bytes(roster)
    )


def _set(
    record: Record, part: Literal["keys", "uploads"], round_id: str, trusted: Trusted
) -> bytes:
    handout = trusted.handout(record[part])
    _check_round(handout.round_id, round_id)
    if handout.part != part:
        raise Refused("bad_set", f"What should be the set of {part} is that of {handout.part}.")
    return handout.set_bytes


def _check_round(found: str, asked: str) -> None:
    if found != asked:
        raise Refused("wrong_round", f"The record is of round {found}, not {asked}.")
