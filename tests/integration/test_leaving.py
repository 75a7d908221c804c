"""Keeper, courier and aggregator as real processes: what is declined, said, proved, reconciled."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clock import now, to_text
from agent.config import Paths
from agent.demo.parties import Aggregator, Party, ask, free_ports
from agent.demo.plan import draft
from agent.errors import EXIT_TRY_LATER
from agent.keys import new_signing
from agent.ledger.book import Ledger
from agent.policy.signing import sign_off, signature_path

pytestmark = pytest.mark.slow
_PATIENCE_S = 240.0


class Silo:
    """An enrolled silo without data, whose policy allows no network of the demo's size."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "onggi.toml"
        self.policy = root / "policy.toml"
        self.paths = Paths(root / "state")
        self.officer = new_signing("officer")
        self.config.write_text(
            f'[site]\nstate = "{self.paths.state}"\n[courier]\npoll_s = 1.0\n'
            f'[policy]\nfile = "{self.policy}"\nofficer = "{self.officer.public_hex}"\n'
        )
        self.sign_off("[ask]\nmax_parameters = 10\nendpoints = []\n")

    def sign_off(self, text: str, version: int = 1) -> None:
        content = f"version = {version}\n{text}".encode()
        self.policy.write_bytes(content)
        signed = sign_off(content, version, self.officer, "Kim", to_text(now()))
        signature_path(self.policy).write_bytes(signed)

    def ask(self, *words: str) -> str:
        return ask("agent", "--config", str(self.config), *words)

    def json(self, *words: str) -> Any:  # noqa: ANN401 - whatever JSON the command prints
        return json.loads(self.ask(*words, "--json"))

    def party(self, service: str) -> Party:
        command = ("agent", "--config", str(self.config), service)
        return Party(service, command, self.root / f"{service}.log")

    def states(self, kind: Any) -> list[str]:  # noqa: ANN401 - a kind of the ledger
        with Ledger(self.paths.ledger, read_only=True) as ledger:
            return [item.state for item in ledger.find(kind)]


def _until(what: str, found: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not found():
        assert time.monotonic() < until_s, f"waited in vain for {what}"
        time.sleep(0.2)


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[Aggregator]:
    founded = Aggregator(tmp_path / "aggregator", free_ports(1)[0])
    server = founded.found()
    try:
        server.keep_alive()
        founded.wait()
        yield founded
    finally:
        server.end()


def test_a_plan_is_declined_and_every_byte_of_it_is_proved(
    aggregator: Aggregator, tmp_path: Path
) -> None:
    silo = Silo(tmp_path)
    token = ask("consortium", "token", "silo-a", "--folder", str(aggregator.folder)).strip()
    enroll = ("--config", str(silo.config), "enroll", "--token", token, "--no-wait")
    ask("agent", *enroll, fine=(EXIT_TRY_LATER,))
    ask("consortium", "roster", "admit", "silo-a", *aggregator.officers())
    ask("agent", *enroll)
    parties = [silo.party("keeper"), silo.party("courier")]
    try:
        for party in parties:
            party.keep_alive()
        aggregator.publish_plan(draft() | {"quorum": 1})
        _until(
            "the word at the consortium", lambda: bool((aggregator.status() or {}).get("declined"))
        )
        _until("its receipt", lambda: silo.states("statement") == ["acknowledged"])
        _check_declined(aggregator, silo)
        _check_proof(aggregator, silo, tmp_path / "proof.json")
        assert silo.json("egress", "reconcile")["faults"] == []
        _check_door(silo)
    finally:
        for party in parties:
            party.end()


def _check_declined(aggregator: Aggregator, silo: Silo) -> None:
    (declined,) = aggregator.wait()["declined"]
    codes = ["endpoint_not_allowed", "network_too_large"]
    assert (declined["silo"], declined["plan_id"], declined["codes"]) == ("silo-a", "demo", codes)
    (wrong,) = silo.json("status")["stages"]["plans"]["wrong"]
    assert all(f"[{code}]" in wrong["why"] for code in codes)
    _until("the round", lambda: set(silo.states("round")) == {"skipped"})
    assert silo.states("update") == []


def _check_proof(aggregator: Aggregator, silo: Silo, path: Path) -> None:
    silo.ask("egress", "root", "--now")
    _until(
        "the countersignature",
        lambda: silo.json("egress", "root")["signed"][-1]["state"] == "countersigned",
    )
    (first, _) = silo.json("egress", "list")["lines"]
    assert (first["kind"], first["decision"]) == ("declined", "released")
    silo.ask("egress", "prove", first["envelope_id"][:10], "--output", str(path))
    assert silo.json("egress", "verify", str(path))["countersigned"] is True
    folder = ("--folder", str(aggregator.folder))
    found = json.loads(ask("consortium", "verify-egress", str(path), *folder, "--json"))
    assert (found["silo"], found["about"], found["countersigned"]) == ("silo-a", "demo", True)


def _check_door(silo: Silo) -> None:
    looser = "version = 1\n"
    silo.policy.write_text(looser)
    _until("the shut door", lambda: silo.states("policy") == ["unsigned"])
    assert "onggi policy sign" in silo.json("policy", "show")["keeper"]["why"]
    silo.sign_off("", version=2)
    _until("the plan let in", lambda: silo.states("plan") == ["accepted"])
