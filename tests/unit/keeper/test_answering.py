"""A silo answers an audit from its own ledger, to nobody but the consortium's own challenge."""

import base64
from pathlib import Path

import pytest

from agent.clock import to_text
from agent.errors import Refused
from agent.keeper.answering import answer
from agent.wire.masking.audit import KIND, Announcement, Answers, Challenge
from agent.wire.signed import Signer, sign
from consortium.auditing import Finding, announce, check, show
from consortium.founding import root_sha256
from tests.unit.keeper.test_masking import Silo, World
from tests.unit.keeper.test_masking import world as world

pytestmark = pytest.mark.slow
COIN = "5e" * 32


def _challenge(signed: bytes) -> Challenge:
    return Challenge(announcement=base64.b64encode(signed).decode("ascii"), coin=COIN, count=1)


def _answered(silo: Silo, challenge: Challenge) -> Answers:
    return answer(silo.ledger, silo.masking._trusted, silo.name, challenge)


def test_every_silos_ledger_answers_for_the_round(world: World, tmp_path: Path) -> None:
    for _ in range(5):
        world.turn()
    house, folder = world.house, tmp_path / "audit"
    with house.store.reading() as session:
        challenge = _challenge(
            announce(session, house.folder, "demo", house.signers.aggregator, house.now)
        )
        show(session, house.folder, challenge, folder)
    answers = [_answered(silo, challenge) for silo in world.silos.values()]
    found = check(folder, root_sha256(house.folder), answers, house.now)
    assert found == [Finding("p1.r1.a1", tuple("abcdef"), moved=True)]


def _announced(world: World, signer: Signer, *rounds: str) -> bytes:
    said = Announcement(
        consortium="demo", rounds=dict.fromkeys(rounds, "00" * 32), created=to_text(world.house.now)
    )
    return sign(KIND, said.to_bytes(), signer)


def test_what_the_aggregator_did_not_announce_is_not_answered(world: World) -> None:
    world.turn()
    silo, house = world.silos["a"], world.house
    forged = _challenge(_announced(world, house.silos["b"].sign, "p1.r1.a1"))
    early = _challenge(_announced(world, house.signers.aggregator, "p1.r1.a1"))
    odd = early.model_copy(update={"announcement": "?"})
    for challenge, code in (
        (forged, "unknown_signer"),
        (early, "nothing_to_answer"),
        (odd, "malformed"),
    ):
        with pytest.raises(Refused) as caught:
            _answered(silo, challenge)
        assert caught.value.code == code
