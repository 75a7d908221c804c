"""Damaged messages of a masked round: a part of `benchmarks.fuzz --protocol`.

A round of honest silos is run once; then each of its messages and sets is damaged, before its silo
signs it or after, and read as the other end reads it.
"""

import base64
import random
from collections.abc import Callable

from agent.clock import to_text
from agent.errors import Refused
from agent.wire import signed
from agent.wire.masking.audit import (
    Announcement,
    Answer,
    Answers,
    Challenge,
    Shown,
    check_round,
    chosen,
)
from agent.wire.masking.carriage import Handout, SealedShares, pack_upload, unpack_upload
from agent.wire.masking.documents import Ack, Message, Publication, RoundKeys, Unmask, Upload
from agent.wire.masking.seeds import Binding, RoundSecrets
from agent.wire.masking.sets import read_ack_set, read_key_set, read_upload_set
from agent.wire.masking.silo import Step
from tests.kit.consortium import START
from tests.kit.masking import KEYS, UNMASK_BY, Round, setting

Make = Callable[[random.Random], bytes]
Damage = Callable[[bytes, random.Random], bytes]
Read = Callable[[bytes], object]

_MESSAGES: dict[str, type[Message]] = {
    "masked_keys": RoundKeys,
    "masked_upload": Upload,
    "masked_ack": Ack,
    "masked_unmask": Unmask,
}
_ANSWERED: tuple[Step, ...] = ("keys", "upload", "ack")
_STEPS: dict[str, Step] = {
    "masked_keys": "keys",
    "masked_upload": "upload",
    "masked_ack": "ack",
    "masked_unmask": "unmask",
}


class Spoken:
    """A whole round: what its first silo said, and the three sets."""

    def __init__(self) -> None:
        self.round = Round(setting(6))
        self.first = self.round.names[0]
        self.key_set = self.round.step_keys()
        self.upload_set = self.round.step_uploads(self.key_set, self.round.names[-1])
        self.ack_set = self.round.step_acks(self.upload_set)
        self.round.step_shares(self.ack_set)
        silo = self.round.silos[self.first]
        rows = {kind: silo.row(step) for kind, step in _STEPS.items()}
        self.messages = {kind: row.message for kind, row in rows.items() if row is not None}
        done = self.round.aggregator.publish(self.round.vector_of, UNMASK_BY)
        if done is None:
            raise ValueError("an honest round ends in a sum")
        self.sum = done[0]
        self.publication = self.sum.to_bytes()

    def answers(self, silo: str) -> Answers:
        """Returns what a silo answers an auditor."""
        rows = {step: self.round.silos[silo].row(step) for step in _ANSWERED}
        said = {
            step: base64.b64encode(row.message).decode("ascii")
            for step, row in rows.items()
            if row is not None
        }
        round_id = self.round.setting.manifest.round_id
        answer = Answer.model_validate({"silo": silo, "round_id": round_id, **said})
        return Answers(silo=silo, answers=(answer,))

    def audited(self, content: bytes) -> object:
        """Checks the round with the first silo's answers as they came."""
        given = {silo: self.answers(silo).answers[0] for silo in self.round.vectors}
        given |= {one.silo: one for one in Answers.parse(content).answers}
        shown = Shown(self.round.setting, self.key_set, self.upload_set, self.ack_set, self.sum)
        return check_round(shown, given, _unread)


def _unread(_silo: str) -> bytes:
    """Ends an audit where the sum would be computed: what is damaged was read by then."""
    raise Refused("wrong_vector", "Vectors are not looked at here.")


def masking_targets(damaged: Damage, either: Damage) -> dict[str, tuple[Make, Read]]:
    """Returns, by name, what makes a damaged input and what reads it.

    Args:
        damaged: Puts faults into bytes.
        either: Puts faults into JSON's bytes or values.
    """
    spoken = Spoken()
    made = {kind: _message(spoken, kind, either) for kind in spoken.messages}
    keys = read_key_set(spoken.round.setting, spoken.key_set)
    uploads = read_upload_set(keys, spoken.upload_set)
    made["key_set"] = _json(
        spoken.key_set, either, lambda content: read_key_set(spoken.round.setting, content)
    )
    made["upload_set"] = _json(
        spoken.upload_set, either, lambda content: read_upload_set(keys, content)
    )
    made["ack_set"] = _json(
        spoken.ack_set, either, lambda content: read_ack_set(keys, uploads, content)
    )
    made["masked_sum"] = _json(spoken.publication, either, Publication.parse)
    made["audit answers"] = _json(spoken.answers(spoken.first).to_bytes(), either, spoken.audited)
    asked = Challenge(announcement="", coin="ab" * 32, count=1)
    made["audit challenge"] = _json(asked.to_bytes(), either, Challenge.parse)
    rounds = Announcement(consortium="kit", rounds={"r": "0" * 64}, created=to_text(START))
    made["audit announcement"] = _json(
        rounds.to_bytes(), either, lambda content: chosen(content, bytes(32), 1)
    )
    return made | _carried(spoken, damaged, either)


def _json(content: bytes, either: Damage, read: Read) -> tuple[Make, Read]:
    return lambda chance: either(content, chance), read


def _message(spoken: Spoken, kind: str, either: Damage) -> tuple[Make, Read]:
    container, key = spoken.messages[kind], KEYS[spoken.first]
    payload = signed.parse(container).payload

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.2:
            return either(container, chance)
        return signed.sign(kind, either(payload, chance), key)

    return make, lambda content: spoken.round.setting.read(_MESSAGES[kind], content)


def _carried(spoken: Spoken, damaged: Damage, either: Damage) -> dict[str, tuple[Make, Read]]:
    sealed = spoken.round.sealed[spoken.first]
    packed = pack_upload(spoken.messages["masked_upload"], sealed, bytes(64))
    shares = SealedShares.of(sealed).to_bytes()
    text = base64.b64encode(spoken.key_set).decode("ascii")
    handout = Handout(consortium="kit", round_id="p.r1.a1", part="keys", content=text)
    mine, theirs = RoundSecrets.fresh(), RoundSecrets.fresh()
    binding = Binding("r", "11" * 32, "22" * 32)
    closed = mine.seal(bytes(66), theirs.share_key, binding, "a", "b")
    return {
        "masked payload": (lambda chance: damaged(packed, chance), unpack_upload),
        "sealed shares": _json(
            shares, either, lambda content: SealedShares.parse(content).opened()
        ),
        "one silo's shares": (
            lambda chance: damaged(closed, chance),
            lambda content: theirs.unseal(content, mine.share_key, binding, "b", "a"),
        ),
        "handout": _json(
            handout.to_bytes(), either, lambda content: Handout.parse(content).set_bytes
        ),
    }
