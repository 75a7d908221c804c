"""`onggi egress figures`: only where the policy says so, encrypted, signed, and booked first."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.files import sha256_bytes
from agent.keeper.requests import Request, take_all
from agent.keeper.statements import Statements
from agent.keys import load_signing
from agent.ledger.book import Detail, Ledger
from agent.wire.figures import KIND, Figures, key_id, opened, summed
from agent.wire.homomorphic import SumKey
from agent.wire.signed import parse
from tests.kit.consortium import NAME, SILO, START, Consortium

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


@pytest.fixture(scope="module")
def key() -> SumKey:
    return SumKey.fresh()


class Site:
    """An enrolled silo whose gate compared one shared head, and one of its own."""

    def __init__(self, home: "Home", public: Path) -> None:
        self.home, self.public, self.out = home, public, home.root / "figures.json"
        home.enrol()
        self.manifest = Consortium().release_document(1)
        self.head = self.manifest.heads[0]
        errors: Detail = {self.head: [0.5, 0.4], "private:own": [0.2, 0.9]}
        with Ledger(home.paths.ledger) as ledger:
            for name, found in (("r1", errors), ("r2", {})):
                manifest = self.manifest.model_dump_json()
                detail: Detail = {"version": 1, "manifest": manifest, "errors": found}
                ledger.add("release", name, "announced", START, detail)

    def allow(self) -> None:
        content = b"version = 1\n[leave]\nfigures = 'encrypted'\n"
        with Ledger(self.home.paths.ledger) as ledger:
            sha256 = sha256_bytes(content)
            ledger.put_document("policy", sha256, content, START)
            ledger.add("policy", "site", "signed", START, {"sha256": sha256})

    def asked(self, release: str = "r1") -> tuple[str, ...]:
        return ("egress", "figures", release, "--for", str(self.public), "--out", str(self.out))

    def keeper(self, _path: Path) -> bool:
        signer = load_signing(self.home.paths.keys / "sign.key", "sign")
        with Ledger(self.home.paths.ledger) as ledger:
            said = Statements(ledger, None, signer, SILO, NAME)  # type: ignore[arg-type] # no outbox

            def do(request: Request, by: str) -> None:
                said.book_carried(request, by, START)

            take_all(self.home.paths.requests, do)
        return True


@pytest.fixture
def site(home: "Home", key: SumKey, tmp_path: Path) -> Site:
    public = tmp_path / "public"
    public.write_bytes(key.public)
    return Site(home, public)


def test_nothing_leaves_without_the_policys_word(site: Site) -> None:
    assert "figures_kept" in str(site.home.error(*site.asked()))
    assert not site.out.exists()


def test_a_file_is_booked_and_holds_what_the_gate_measured_of_shared_heads(
    site: Site, key: SumKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.allow()
    monkeypatch.setattr("agent.cli.asking._taken", site.keeper)
    assert "booked as" in site.home.said(*site.asked(), "--by", "Kim")
    content = site.out.read_bytes()
    with Ledger(site.home.paths.ledger, read_only=True) as ledger:
        (row,) = ledger.connection.execute("SELECT leaf FROM egress").fetchall()
    assert sha256_bytes(content).encode() in bytes(row[0])
    assert parse(content).payload_type.endswith(f"{KIND}+json")
    found = Figures.parse(parse(content).payload)
    public = site.public.read_bytes()
    assert (found.silo, found.key_sha256) == (SILO, key_id(public))
    three = [found.model_copy(update={"silo": name}) for name in ("a", "b", "c")]
    means = opened(summed(three, public), key)
    assert means[site.head].change == pytest.approx(-0.2, abs=1e-5)
    assert list(means) == list(site.manifest.heads)


def test_a_keeper_that_refuses_leaves_no_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.allow()
    monkeypatch.setattr("agent.cli.asking._taken", lambda _: True)
    assert "not_booked" in str(site.home.error(*site.asked()))
    assert not site.out.exists()


def test_what_is_missing_is_named(site: Site) -> None:
    site.allow()
    assert "unknown_release" in str(site.home.error(*site.asked("r9")))
    assert "nothing_judged" in str(site.home.error(*site.asked("r2")))
    site.public.write_bytes(b"no key")
    refused = site.home.error(*site.asked())
    assert isinstance(refused, Refused)
    assert refused.code == "bad_ciphertext"
    site.public.unlink()
    assert isinstance(site.home.error(*site.asked()), Stop)
