"""An identity outlives the program: what the first version wrote is read for ever.

`tests/kit/identity-1` was written by the program as it was before keys had a date, and rosters a
place for rotated keys. Its keys are worth nothing. A change that cannot read it needs a migration,
and a fixture of its own beside this one.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.config import Paths
from agent.errors import Stop
from agent.exchange.enrol import enrolled
from agent.exchange.places import Places, read_enrolment
from agent.keeper.assemble import read_enrolment as keepers
from agent.keeper.identity import KeyFiles, OwnKeys, key_lines
from agent.keeper.trust import open_trust
from agent.keys import load_identity, make_identity
from agent.ledger.book import Ledger
from agent.wire.roster import member_of

_FIRST = Path(__file__).parents[1] / "kit" / "identity-1"
_NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    state = tmp_path / "state"
    shutil.copytree(_FIRST, state)
    for path in state.rglob("*.key"):
        path.chmod(0o400)  # git does not keep it
    return Places.under(state)


def test_keys_of_the_first_format_are_read(places: Places) -> None:
    identity = load_identity(places.keys, places.courier)
    again = make_identity(places.keys, places.courier, _NOW)
    assert again.sign.public_hex == identity.sign.public_hex, "and nothing is made anew"
    assert identity.sign.made is None
    assert identity.seal.purpose == "seal"


def test_trust_of_the_first_format_is_believed(places: Places, tmp_path: Path) -> None:
    note = read_enrolment(places)
    assert note.format == 1
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        trusted = open_trust(places.trust, note.root_sha256, ledger, _NOW)
    assert trusted.roster is not None
    assert trusted.catalogue is not None
    member = member_of(trusted.roster, note.silo)
    assert member is not None
    files = KeyFiles(places.keys, places.courier, places.outbox)
    lines = key_lines(files, member, _NOW)
    assert [(one.purpose, one.since, one.alarm) for one in lines] == [
        ("sign", "", ""),
        ("seal", "", ""),
        ("courier", "", ""),
    ]
    assert OwnKeys(places.keys, places.outbox, note.silo).public_hex == member.sign_key
    assert len(enrolled(places).fingerprint.split()) == 8


def test_a_later_format_is_said(places: Places) -> None:
    later = places.enrolment.read_bytes().replace(b'{"consortium"', b'{"format":2,"consortium"')
    places.enrolment.write_bytes(later)
    with pytest.raises(Stop, match="newer Onggi"):
        read_enrolment(places)
    with pytest.raises(Stop, match="newer Onggi"):
        keepers(Paths(places.keys.parent))
