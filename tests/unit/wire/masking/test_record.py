"""A round looked back at: the sum is computed again from signed documents alone, or refused."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import Document
from agent.wire.masking.carriage import Handout, Part
from agent.wire.masking.record import PARTS, Record, RecordPart, Replayed, replay_record
from agent.wire.signed import Signer, sign
from agent.wire.trusted import Trusted
from tests.kit.consortium import START, Consortium
from tests.kit.masking import UNMASK_BY, Round, name, setting, with_manifest

_ROUND = "p.r1.a1"
_LATER = START + timedelta(days=1_000)


@dataclass
class Looked:
    """A round of six with one dropout, as its consortium published it."""

    consortium: Consortium
    record: dict[RecordPart, bytes]
    vectors: dict[str, bytes]

    @classmethod
    def back(cls) -> "Looked":
        consortium = Consortium()
        found = setting(6)
        own = {"consortium": consortium.catalogue.consortium}
        roster, plan = found.roster.model_copy(update=own), found.plan.model_copy(update=own)
        found = replace(found, roster=roster, plan=plan, roster_sha256=_hash(roster))
        terms = found.terms.model_copy(update={"roster_sha256": _hash(roster)})
        found = with_manifest(
            found, masking=terms, plan_sha256=_hash(plan), consortium=plan.consortium
        )
        one = Round(found)
        key_set = one.step_keys()
        upload_set = one.step_uploads(key_set, name(2))
        one.step_shares(one.step_acks(upload_set))
        done = one.aggregator.publish(one.vector_of, UNMASK_BY)
        assert done is not None
        officer, online = consortium.offline, consortium.aggregator
        record: dict[RecordPart, bytes] = {
            "roster": _signed("roster", roster, officer),
            "plan": _signed("plan", plan, officer),
            "round": _signed("round", found.manifest, online),
            "keys": handout(consortium, "keys", key_set),
            "uploads": handout(consortium, "uploads", upload_set),
            "sum": _signed("masked_sum", done[0], online),
        }
        return cls(consortium, record, {sha256_bytes(v): v for v in one.vectors.values()})

    def trusted(self) -> Trusted:
        return Trusted(self.consortium.root, self.consortium.root_sha256, START)

    def replay(
        self,
        record: Record | None = None,
        round_id: str = _ROUND,
        vector_of: Callable[[str], bytes] | None = None,
    ) -> Replayed:
        vectors = vector_of or self.vectors.__getitem__
        return replay_record(record or self.record, round_id, self.trusted(), vectors)

    def refused(self, code: str, **changed: bytes) -> None:
        with pytest.raises(Refused) as caught:
            self.replay({**self.record, **changed})  # type: ignore[dict-item]
        assert caught.value.code == code


def _hash(document: Document) -> str:
    return sha256_bytes(document.to_bytes())


def _signed(kind: str, document: Document, signer: Signer) -> bytes:
    return sign(kind, document.to_bytes(), signer)


def handout(consortium: Consortium, part: Part, content: bytes, round_id: str = _ROUND) -> bytes:
    found = Handout(
        consortium=consortium.catalogue.consortium,
        round_id=round_id,
        part=part,
        content=base64.b64encode(content).decode(),
    )
    return _signed("handout", found, consortium.aggregator)


@pytest.fixture(scope="module")
def looked() -> Looked:
    return Looked.back()


def test_the_sum_is_computed_again_from_signed_documents(looked: Looked) -> None:
    done = looked.replay()
    assert done.round_id == _ROUND
    assert done.dropped == (name(2),)
    assert len(done.uploads.uploads) == 5
    assert set(done.sums.weights) == set(done.keys.layout.groups)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_missing_is_named(looked: Looked, part: RecordPart) -> None:
    rest = {key: value for key, value in looked.record.items() if key != part}
    with pytest.raises(Refused, match=f"missing_part.*{part}|{part}.*missing_part"):
        looked.replay(rest)


@pytest.mark.parametrize("part", PARTS)
def test_what_nobody_trusted_signed_is_refused(looked: Looked, part: RecordPart) -> None:
    other = Looked.back()  # the same round under other keys
    looked.refused("unknown_signer", **{part: other.record[part]})


def test_dates_that_are_past_do_not_matter(looked: Looked) -> None:
    """The plan, the roster and the round ended long ago; the root has not."""
    later = Trusted(looked.consortium.root, looked.consortium.root_sha256, _LATER)
    done = replay_record(looked.record, _ROUND, later, looked.vectors.__getitem__)
    assert done.sum_sha256 == looked.replay().sum_sha256


def test_the_documents_must_belong_together(looked: Looked) -> None:
    consortium = looked.consortium
    other = _signed("plan", consortium.plan_document("p"), consortium.offline)
    looked.refused("wrong_plan", plan=other)
    looked.refused("wrong_roster", roster=consortium.roster())
    looked.refused("bad_set", keys=looked.record["uploads"])
    strange = handout(consortium, "keys", b"", "p.r2.a1")
    looked.refused("wrong_round", keys=strange)
    with pytest.raises(Refused, match="wrong_round"):
        looked.replay(round_id="p.r2.a1")


def test_a_sum_of_another_round_is_refused(looked: Looked) -> None:
    consortium = looked.consortium
    publication = looked.trusted().masked_sum(looked.record["sum"])
    strange = publication.model_copy(update={"round_id": "p.r2.a1"})
    looked.refused("wrong_round", sum=_signed("masked_sum", strange, consortium.aggregator))


def test_a_sum_that_its_vectors_do_not_come_to_is_refused(looked: Looked) -> None:
    publication = looked.trusted().masked_sum(looked.record["sum"])
    false = publication.model_copy(update={"sum_sha256": "00" * 32})
    looked.refused("wrong_sum", sum=_signed("masked_sum", false, looked.consortium.aggregator))
    with pytest.raises(Refused, match="wrong_vector"):
        looked.replay(vector_of=lambda sha256: looked.vectors[sha256][:-4] + b"\0\0\0\1")
