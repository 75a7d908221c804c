"""A published document starts to arrive at once: the silo waits in a poll, and the poll ends."""

import threading
from pathlib import Path

import pytest

from agent.clock import monotonic_s, now
from agent.exchange.https import Https
from benchmarks import protocol_parties as parties
from consortium.folder import Folder, load_officers
from consortium.issuing import propose_roster, sign_and_publish
from consortium.rosters import Changes
from consortium.store import Store

_PROMISE_S = 2.0  # of docs/protocol.md; `benchmarks.protocol` measures it on a quiet machine
_GUARD_S = 15.0
_WAIT_S = 25


@pytest.mark.slow
def test_a_publication_ends_a_waiting_poll(tmp_path: Path) -> None:
    with parties.serving(tmp_path) as consortium:
        (silo,) = parties.enrolled(1, consortium, tmp_path)
        silo.wait_for("catalogue")
        after = max(int(letter.name.split("-")[1]) for letter in silo.inbox.letters())
        carrier = Https(silo._link, poll_s=_WAIT_S)
        arrived: list[float] = []

        def poll() -> None:
            (item,) = carrier.items(after)
            arrived.append(monotonic_s())
            assert item.kind == "roster"

        waiting = threading.Thread(target=poll)
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive(), "nothing is new, so the poll waits"
        folder = Folder(consortium.folder)
        store = Store(folder.database)
        officers = load_officers(sorted(folder.offline.glob("officer-*.key"))[:2])
        with store.writing() as session:
            proposal = propose_roster(session, folder, Changes(renew=True), now())
            sign_and_publish(session, folder, proposal, officers, now())
        published = monotonic_s()
        store.close()
        waiting.join()
        assert arrived, "the poll ended with the roster"
        assert arrived[0] - published < _GUARD_S < _WAIT_S, f"promised within {_PROMISE_S} s"
        silo.close()
