"""An audit: the coin chooses, the silos answer, and what is false is refused by name."""

import base64
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.masking.audit import (
    Announcement,
    Answer,
    Challenge,
    Shown,
    check_announced,
    check_round,
    chosen,
)
from agent.wire.masking.documents import Ack, RoundKeys, Upload
from agent.wire.signed import parse, sign
from tests.kit.masking import KEYS, UNMASK_BY, Round, name, setting

COIN = bytes(range(32))
ROUNDS = {f"p.r{number}.a1": f"{number:064x}" for number in range(1, 41)}


def _announced(rounds: dict[str, str] = ROUNDS) -> Announcement:
    return Announcement(consortium="kit", rounds=rounds, created="2026-01-01T00:00:00Z")


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code


class Done:
    """A round of seven: one dropped out before the upload, another before it acknowledged."""

    def __init__(self) -> None:
        self.round = Round(setting(7))
        key_set = self.round.step_keys()
        upload_set = self.round.step_uploads(key_set, name(2))
        ack_set = self.round.step_acks(upload_set, name(3))
        self.round.step_shares(ack_set, name(3))
        done = self.round.aggregator.publish(self.round.vector_of, UNMASK_BY)
        assert done is not None
        self.total = done[1]
        self.shown = Shown(self.round.setting, key_set, upload_set, ack_set, done[0])
        self.answers = {silo: self._answer(silo) for silo in self.round.names if silo != name(2)}

    def _answer(self, silo: str) -> Answer:
        rows = {step: self.round.silos[silo].row(step) for step in ("keys", "upload", "ack")}
        said = {step: _b64(row.message) if row else "" for step, row in rows.items()}
        round_id = self.round.setting.manifest.round_id
        return Answer.model_validate({"silo": silo, "round_id": round_id, **said})

    def check(self, of: str, **changes: object) -> object:
        answers = {**self.answers, of: self.answers[of].model_copy(update=changes)}
        return check_round(self.shown, answers, self.round.vector_of)

    def signed(self, silo: str, model: type[RoundKeys | Upload | Ack], **changes: object) -> str:
        """Returns another message of a step which the silo signed as well."""
        step = {"masked_keys": "keys", "masked_upload": "upload", "masked_ack": "ack"}
        kind = str(model.model_fields["kind"].default)
        row = self.round.silos[silo].row(step[kind])  # type: ignore[arg-type]
        source = row.message if row else self.round.silos[name(0)].row("ack").message  # type: ignore[union-attr]
        message = model.parse(parse(source).payload).model_copy(update={"silo": silo, **changes})
        return _b64(sign(kind, message.to_bytes(), KEYS[silo]))


@pytest.fixture(scope="module")
def done() -> Done:
    return Done()


def test_the_coin_chooses_and_nothing_else_does() -> None:
    payload = _announced().to_bytes()
    first = chosen(payload, COIN, 5)
    assert first == chosen(payload, COIN, 5)
    assert len(set(first)) == 5
    assert chosen(payload, COIN, 3) == first[:3]
    assert set(chosen(payload, COIN, 100)) == set(ROUNDS)
    assert chosen(payload, COIN[::-1], 5) != first
    later = _announced({**ROUNDS, "p.r41.a1": "00" * 32}).to_bytes()
    assert chosen(later, COIN, 5) != first


def test_every_round_is_chosen_as_often_as_the_others() -> None:
    payload = _announced({f"r{number}": "00" * 32 for number in range(8)}).to_bytes()
    found = [chosen(payload, bytes([n, m]) * 16, 1)[0] for n in range(32) for m in range(32)]
    counts = np.unique(found, return_counts=True)[1]
    assert len(counts) == 8
    assert ((counts - 128) ** 2 / 128).sum() < 30  # 7 degrees of freedom


def test_a_coin_that_could_be_searched_for_is_none() -> None:
    assert _code(lambda: chosen(_announced().to_bytes(), b"short", 1)) == "weak_coin"
    with pytest.raises(ValueError, match="coin"):
        Challenge(announcement="", coin="ab" * 15, count=1)


def test_a_sum_is_the_one_that_was_announced() -> None:
    announced = _announced({"p.r1.a1": sha256_bytes(b"sum")})
    check_announced(announced, b"sum", "p.r1.a1")
    assert _code(lambda: check_announced(announced, b"sum", "p.r2.a1")) == "not_announced"
    assert _code(lambda: check_announced(announced, b"other", "p.r1.a1")) == "changed_since"


def test_an_honest_round_passes_and_gives_its_sum(done: Done) -> None:
    sums = check_round(done.shown, done.answers, done.round.vector_of)
    u1 = done.round.aggregator.u1
    assert u1 is not None
    again = u1.layout.read(done.total)
    assert sums.weights == again.weights
    assert all(np.array_equal(v, again.products[t]) for t, v in sums.products.items())


def test_nothing_that_is_shown_opens_a_silos_update(done: Done) -> None:
    """With its own mask off, a vector is still chance: the masks with others stay on."""
    from agent.wire.masking.prg import add_masks

    silo = name(0)
    vector = np.frombuffer(done.round.vector_of(silo), dtype="<u4").copy()
    add_masks(vector, [], [bytes.fromhex(done.shown.publication.own[silo])])
    pairs = [bytes.fromhex(seed) for seed in done.shown.publication.pairs[silo].values()]
    add_masks(vector, [], pairs)
    counts = np.bincount(vector.view(np.uint8), minlength=256)
    expected = counts.sum() / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * np.sqrt(510)


def test_a_silo_that_does_not_answer_is_named(done: Done) -> None:
    answers = {silo: one for silo, one in done.answers.items() if silo != name(4)}
    with pytest.raises(Refused, match=name(4)) as caught:
        check_round(done.shown, answers, done.round.vector_of)
    assert caught.value.code == "missing_answer"


@pytest.mark.parametrize("silo", [name(0), name(3)])
def test_two_messages_for_one_step_are_equivocation(done: Done, silo: str) -> None:
    other = done.signed(silo, Upload, vector_sha256="00" * 32)
    assert _code(lambda: done.check(silo, upload=other)) == "equivocation"
    keys = done.signed(silo, RoundKeys, created="2026-01-01T00:00:01Z")
    assert _code(lambda: done.check(silo, keys=keys)) == "equivocation"
    ack = done.signed(silo, Ack, upload_set_sha256="00" * 32)
    assert _code(lambda: done.check(silo, ack=ack)) == "equivocation"


def test_an_ack_that_came_too_late_is_no_fault(done: Done) -> None:
    assert done.answers[name(3)].ack == ""
    done.check(name(3), ack=done.signed(name(3), Ack))


@pytest.mark.parametrize(
    "changes",
    [
        {"silo": name(5)},
        {"round_id": "p.r9.a1"},
        {"upload": "not base64"},
        {"upload": _b64(b"no container")},
        {"ack": ""},
    ],
)
def test_what_is_no_answer_is_refused(done: Done, changes: dict[str, object]) -> None:
    assert _code(lambda: done.check(name(0), **changes)) == "wrong_answer"


def test_the_message_of_another_silo_is_no_answer(done: Done) -> None:
    other = done.answers[name(1)].upload
    assert _code(lambda: done.check(name(0), upload=other)) == "wrong_answer"


def test_a_vector_or_a_sum_that_was_exchanged_is_found(done: Done) -> None:
    def vector_of(silo: str) -> bytes:
        content = done.round.vector_of(silo)
        return bytes(4) + content[4:] if silo == name(1) else content

    assert _code(lambda: check_round(done.shown, done.answers, vector_of)) == "wrong_vector"
    false = done.shown.publication.model_copy(update={"sum_sha256": "00" * 32})
    shown = replace(done.shown, publication=false)
    assert _code(lambda: check_round(shown, done.answers, done.round.vector_of)) == "wrong_sum"
