"""The public record of a masked round: any silo replays it; who may not have it is told why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.errors import Refused
from agent.wire.masking.record import PARTS, replay_record
from agent.wire.trusted import Trusted
from consortium.cli import main
from consortium.founding import root_sha256
from consortium.objects import get_object
from consortium.record import read_part, write_record
from consortium.tables import PublishedRow
from tests.unit.consortium.conftest import House
from tests.unit.consortium.test_masked import Masked, begun

_ROUND = "p1.r1.a1"


@pytest.fixture
def masked(tmp_path: Path) -> Iterator[Masked]:
    found = begun(tmp_path)
    yield found
    found.house.store.close()


def _trusted(house: House) -> Trusted:
    return Trusted(house.folder.trust_root.read_bytes(), root_sha256(house.folder), house.now)


def test_any_silo_replays_the_sum_from_the_record(masked: Masked) -> None:
    masked.round("d")
    house = masked.house
    with house.store.reading() as session:
        record = {part: read_part(session, _ROUND, part, "b") for part in PARTS}
    objects = house.folder.objects
    done = replay_record(record, _ROUND, _trusted(house), lambda one: get_object(objects, one))
    assert (done.dropped, list(done.uploads.uploads)) == (("d",), ["a", "b", "c"])
    assert done.sums.weights == pytest.approx({"trunk": 6.0, "head.logd": 6.0})


def test_the_operator_writes_it_to_a_folder(masked: Masked, tmp_path: Path) -> None:
    masked.round()
    out = tmp_path / "record"
    options = ("--out", str(out), "--folder", str(masked.house.folder.root))
    done = CliRunner().invoke(main, ["record", _ROUND, *options])
    assert done.exit_code == 0, done.output
    assert "Wrote 6 signed documents and 4 vectors" in done.output
    assert {path.stem for path in out.glob("*.json")} == set(PARTS)
    assert len(list(out.iterdir())) == 10


def test_what_is_no_record_is_refused_by_name(masked: Masked) -> None:
    masked.round()
    masked.house.enrol("e")
    cases = {
        "unknown_round": ("p9.r1.a1", "plan", "a"),
        "not_participant": (_ROUND, "plan", "e"),
        "no_sum": ("p1.r2.a1", "plan", "a"),
        "unknown_part": (_ROUND, "shares", "a"),
    }
    with masked.house.store.reading() as session:
        for code, asked in cases.items():
            with pytest.raises(Refused) as caught:
                read_part(session, *asked)
            assert caught.value.code == code


def test_a_round_without_masks_has_none(running: House) -> None:
    with running.store.reading() as session, pytest.raises(Refused, match="not_masked"):
        read_part(session, _ROUND, "plan")


def test_vectors_go_with_the_next_round(masked: Masked, tmp_path: Path) -> None:
    masked.round()
    masked.rows = {name: [] for name in masked.rows}
    masked.house.later(1.0)
    masked.round()
    house = masked.house
    with house.store.reading() as session, pytest.raises(Refused, match="vectors_gone"):
        write_record(session, _ROUND, house.folder.objects, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.json"))


def test_a_lost_document_is_said(masked: Masked) -> None:
    masked.round()
    with masked.house.store.writing() as session:
        session.query(PublishedRow).filter(PublishedRow.kind == "plan").delete()
    with masked.house.store.reading() as session, pytest.raises(Refused, match="lost_part"):
        read_part(session, _ROUND, "plan")
