"""An identity's life: enrolled by officers, every key rotated, the root handed over.

A real aggregator process, the real courier, and the keeper's own mail; only training is left out.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.boxes import Inbox
from agent.clock import now, rest
from agent.config import Paths
from agent.errors import EXIT_TRY_LATER
from agent.exchange.courier import carry
from agent.exchange.enrol import Applicant, Waiting, enrol, take_response, write_request
from agent.exchange.lanes import Pace
from agent.exchange.places import Places, read_enrolment
from agent.keeper.identity import OwnKeys
from agent.keeper.mail import Mail
from agent.keeper.trust import open_trust
from agent.keys import load_identity
from agent.ledger.book import Ledger
from agent.wire.roster import member_of
from consortium.cli import main
from tests.integration.test_aggregator import Aggregator

pytestmark = pytest.mark.slow
_APPLICANT = Applicant("Example Pharma", "ab" * 32)


def _officers(aggregator: Aggregator, *arguments: str) -> str:
    """Runs a command of the operator's, with two officers' keys at hand."""
    options = [str(one) for one in aggregator.officers()]
    result = CliRunner().invoke(main, [*arguments, *options])
    assert result.exit_code == 0, result.output
    return result.output


def _operator(aggregator: Aggregator, *arguments: str) -> str:
    folder = str(aggregator.folder)
    result = CliRunner().invoke(main, [*arguments, "--folder", folder])
    assert result.exit_code == 0, result.output
    return result.output.strip()


@dataclass
class Silo:
    """A silo's state, and its keeper's mail."""

    places: Places
    ledger: Ledger

    def mail(self) -> Mail:
        note = read_enrolment(self.places)
        trusted = open_trust(self.places.trust, note.root_sha256, self.ledger, now())
        own = OwnKeys(self.places.keys, self.places.outbox, note.silo)
        self.trusted, self.own = trusted, own
        return Mail(Inbox(self.places.inbox), self.ledger, trusted, note.silo, own)

    def keys(self) -> tuple[str, str, str]:
        found = load_identity(self.places.keys, self.places.courier)
        return found.sign.public_hex, found.seal.public_hex, found.courier.public_hex

    def in_roster(self) -> tuple[str, str, str] | None:
        roster = self.trusted.roster
        member = member_of(roster, "silo-a") if roster else None
        return (member.sign_key, member.seal_key, member.courier_key) if member else None


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[Aggregator]:
    aggregator = Aggregator(tmp_path / "aggregator")
    aggregator.start()
    yield aggregator
    if aggregator.process is not None:
        aggregator.process.kill()
        aggregator.process.wait()


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    paths = Paths(tmp_path / "state")
    paths.create()
    with Ledger(paths.ledger) as ledger:
        yield Silo(Places.under(paths.state), ledger)


@contextmanager
def _courier(places: Places) -> Iterator[None]:
    stop = threading.Event()
    pace = Pace(outbox_s=0.05, poll_s=1, idle_s=0.05, retry_first_s=0.05, retry_cap_s=0.2)
    thread = threading.Thread(
        target=carry, args=(places, stop), kwargs={"clock": now, "pace": pace}
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _enrol(aggregator: Aggregator, silo: Silo) -> None:
    token = _operator(aggregator, "token", "silo-a")
    waiting = enrol(token, silo.places, _APPLICANT, clock=now)
    assert isinstance(waiting, Waiting)
    assert waiting.fingerprint in _operator(aggregator, "roster", "pending")
    _officers(aggregator, "roster", "admit", "silo-a")
    done = enrol(token, silo.places, _APPLICANT, clock=now)
    assert not isinstance(done, Waiting)
    assert done.fingerprint == _operator(aggregator, "fingerprint", "silo-a")


def _rotate(silo: Silo, config: Path, purpose: str) -> None:
    command = [sys.executable, "-m", "agent", "--config", str(config), "keys", "rotate", purpose]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert silo.places.outbox.joinpath(f".rotation-{purpose}.json").exists()


def _pending(aggregator: Aggregator) -> list[str]:
    found: dict[str, Any] = json.loads(_operator(aggregator, "roster", "pending", "--json"))
    return [one["purpose"] for one in found["rotations"]]


def test_every_key_changes_and_the_silo_goes_on(
    aggregator: Aggregator, silo: Silo, tmp_path: Path
) -> None:
    _enrol(aggregator, silo)
    config = tmp_path / "onggi.toml"
    config.write_text(f'[site]\nstate = "{silo.places.keys.parent}"\n')
    first = silo.keys()
    mail = silo.mail()
    for purpose in ("sign", "seal", "courier"):
        _rotate(silo, config, purpose)
    assert silo.keys() == first, "nothing has changed yet"
    with _courier(silo.places):
        while len(_pending(aggregator)) < 3:
            rest(threading.Event(), 0.05)
        assert silo.keys() == first
        _officers(aggregator, "roster", "rotate")
        aggregator.kill_and_start()
        while not set(silo.keys()).isdisjoint(first):
            mail.take_all(now())
            rest(threading.Event(), 0.05)
        assert silo.in_roster() == silo.keys()
        assert list(silo.places.outbox.iterdir()) == []
        assert _pending(aggregator) == []
        _officers(aggregator, "root", "rotate", "--aggregator", "--threshold", "1")
        while silo.ledger.floor("root") < 2:
            mail.take_all(now())
            rest(threading.Event(), 0.05)
    again = silo.mail()
    again.take_all(now())
    assert silo.trusted.root.version == 2, "and it is walked again after a start"
    assert silo.trusted.root.roles["roster"].threshold == 1
    assert silo.trusted.roster is not None
    assert [item.detail for item in silo.ledger.find("letter", "refused")] == []


def test_by_files_and_by_hand(aggregator: Aggregator, silo: Silo, tmp_path: Path) -> None:
    aggregator.end(signal.SIGTERM)  # no network on either side
    token = _operator(aggregator, "token", "silo-a")
    request, response = tmp_path / "request.json", tmp_path / "response.json"
    write_request(token, silo.places, _APPLICANT, request, clock=now)
    command = ["enrol", str(request), "--out", str(response), "--folder", str(aggregator.folder)]
    waits = CliRunner().invoke(main, command)
    assert waits.exit_code == EXIT_TRY_LATER
    _officers(aggregator, "roster", "admit")
    assert CliRunner().invoke(main, command).exit_code == 0
    done = take_response(silo.places, response, clock=now)
    assert done.fingerprint == _operator(aggregator, "fingerprint", "silo-a")
    silo.mail().take_all(now())
    assert silo.in_roster() == silo.keys()


def test_enroll_says_that_it_waits(aggregator: Aggregator, tmp_path: Path) -> None:
    config = tmp_path / "onggi.toml"
    config.write_text(f'[site]\nstate = "{tmp_path / "state"}"\n')
    token = _operator(aggregator, "token", "silo-a")

    def enroll(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", "--config", str(config), "enroll", *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first = enroll("--token", token, "--no-wait")
    assert first.returncode == EXIT_TRY_LATER
    assert "officers have not admitted it yet" in first.stderr
    _officers(aggregator, "roster", "admit", "silo-a")
    second = enroll("--token", token)
    assert second.returncode == 0, second.stderr
    assert "Enrolled as silo-a in demo" in second.stdout
    by_file = enroll("--token", token, "--request", str(tmp_path / "request.json"))
    assert "enrolled already" in by_file.stderr
    again = enroll("--response", str(tmp_path / "none.json"))
    assert again.returncode != 0
