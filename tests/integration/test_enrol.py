"""Enrolment over real TLS: what is pinned, what is refused, and a kill at any file."""

import base64
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from agent.clock import to_text
from agent.errors import Refused, Stop, TryLater
from agent.exchange.enrol import (
    Applicant,
    Enrolled,
    Waiting,
    enrol,
    enrolled,
    take_response,
    write_request,
)
from agent.exchange.places import Places
from agent.files import sha256_bytes
from agent.keys import new_signing
from agent.wire.documents import (
    Catalogue,
    EnrolmentPending,
    EnrolmentRequest,
    EnrolmentToken,
    Member,
    RoleKeys,
    Roster,
    TrustRoot,
)
from agent.wire.signed import key_id, parse, sign
from agent.wire.token import encode_token

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_AHEAD = "2027-01-01T00:00:00Z"
_KEY = new_signing("root")
_ROLE = RoleKeys(threshold=1, keys={key_id(_KEY.public_hex): _KEY.public_hex})
_ROOT = TrustRoot(
    consortium="c",
    version=1,
    roles=dict.fromkeys(("root", "roster", "plan"), _ROLE),
    expires=_AHEAD,
)
_APPLICANT = Applicant("Example Pharma", "ab" * 32)


@dataclass
class Aggregator:
    port: int = 0
    tls_sha256: str = ""
    requests: list[EnrolmentRequest] = field(default_factory=list)
    refusal: bytes = b""
    entry: dict[str, object] = field(default_factory=dict)
    waits: bool = False
    refusal_status: int = 403
    chain: tuple[bytes, ...] = ()
    pem: str = ""

    def answer(self, request: EnrolmentRequest) -> bytes:
        member = Member(
            silo=request.silo,
            legal_entity=request.legal_entity,
            sign_key=request.sign_key,
            seal_key=request.seal_key,
            courier_key=request.courier_key,
            not_before="2026-01-01T00:00:00Z",
            expires=_AHEAD,
        ).model_copy(update=self.entry)
        roster = Roster(
            consortium="c", version=1, issued=to_text(_NOW), expires=_AHEAD, members=(member,)
        )
        catalogue = Catalogue(consortium="c", version=1, endpoints=())
        documents = {"root": _ROOT, "roster": roster, "catalogue": catalogue}
        signed = {
            name: base64.b64encode(sign(name, document.to_bytes(), _KEY)).decode()
            for name, document in documents.items()
        }
        chain = [base64.b64encode(one).decode() for one in self.chain]
        answer = {"kind": "enrolled", **signed, "chain": chain, "certificate": self.pem}
        return json.dumps(answer).encode()

    def token(self, **changes: object) -> str:
        token = EnrolmentToken(
            silo="silo-a",
            url=f"https://127.0.0.1:{self.port}",
            expires=_AHEAD,
            tls_sha256=self.tls_sha256,
            root_sha256=sha256_bytes(_ROOT.to_bytes()),
            nonce="cd" * 32,
        )
        return encode_token(token.model_copy(update=changes))


def _certificate(folder: Path) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aggregator")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tls.pem").write_bytes(private + certificate.public_bytes(Encoding.PEM))
    (folder / "shown.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256_bytes(public)


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[Aggregator]:
    held = Aggregator(tls_sha256=_certificate(tmp_path))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = EnrolmentRequest.parse(parse(body).payload)
            held.requests.append(request)
            pending = EnrolmentPending(silo=request.silo, asked=to_text(_NOW))
            content = pending.to_bytes() if held.waits else held.refusal or held.answer(request)
            self.send_response(202 if held.waits else held.refusal_status if held.refusal else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    held.port = server.server_port
    held.pem = (tmp_path / "shown.pem").read_text()
    yield held
    server.shutdown()
    server.server_close()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.under(tmp_path / "state")


def _enrol(token: str, places: Places) -> str:
    done = enrol(token, places, _APPLICANT, clock=lambda: _NOW)
    assert isinstance(done, Enrolled)
    return done.fingerprint


def _code(token: str, places: Places) -> str:
    with pytest.raises(Refused) as caught:
        _enrol(token, places)
    assert not places.enrolment.exists()
    return caught.value.code


def test_an_enrolment_writes_the_first_trust(aggregator: Aggregator, places: Places) -> None:
    shown = _enrol(aggregator.token(), places)
    assert sorted(path.name for path in places.trust.iterdir()) == [
        "ca.pem",
        "catalogue.json",
        "enrolment.json",
        "root.json",
        "roster.json",
    ]
    assert enrolled(places).fingerprint == shown
    assert enrolled(places).note.silo == "silo-a"
    assert aggregator.requests[0].reference_sha256 == "ab" * 32
    assert (places.inbox / "objects").is_dir()


def test_enrolling_again_asks_nobody(aggregator: Aggregator, places: Places) -> None:
    shown = _enrol(aggregator.token(), places)
    assert _enrol(aggregator.token(expires="2026-01-01T00:00:00Z"), places) == shown
    assert len(aggregator.requests) == 1
    with pytest.raises(Stop, match="enrolled as silo-a"):
        _enrol(aggregator.token(silo="silo-b"), places)


@pytest.mark.parametrize("lost", ["root.json", "roster.json", "ca.pem"])
def test_after_a_kill_the_same_token_ends_the_same(
    aggregator: Aggregator, places: Places, lost: str
) -> None:
    shown = _enrol(aggregator.token(), places)
    (places.trust / "enrolment.json").unlink()
    (places.trust / lost).unlink()
    assert _enrol(aggregator.token(), places) == shown
    one, two = aggregator.requests
    assert one == two


def test_another_tls_key_is_refused_before_anything_is_sent(
    aggregator: Aggregator, places: Places
) -> None:
    assert _code(aggregator.token(tls_sha256="00" * 32), places) == "wrong_certificate"
    assert aggregator.requests == []
    assert not places.ca_file.exists()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"root_sha256": "00" * 32}, "wrong_root"),
        ({"expires": "2026-05-01T00:00:00Z"}, "token_expired"),
        ({"expires": "2026-99-01T00:00:00Z"}, "bad_token"),
        ({"tls_sha256": ""}, "bad_token"),
    ],
)
def test_tokens_are_refused_by_name(
    aggregator: Aggregator, places: Places, changes: dict[str, object], code: str
) -> None:
    assert _code(aggregator.token(**changes), places) == code


@pytest.mark.parametrize("entry", [{"seal_key": "00" * 32}, {"revoked": True}, {"silo": "silo-b"}])
def test_a_false_entry_is_refused(
    aggregator: Aggregator, places: Places, entry: dict[str, object]
) -> None:
    aggregator.entry = entry
    assert _code(aggregator.token(), places) == "wrong_entry"


def test_the_aggregators_refusal_comes_through(aggregator: Aggregator, places: Places) -> None:
    aggregator.refusal = b'{"code":"wrong_reference","detail":"Another RDKit."}'
    assert _code(aggregator.token(), places) == "wrong_reference"
    aggregator.refusal = b""
    assert _enrol(aggregator.token(), places)


def test_an_aggregator_that_is_away_is_said(aggregator: Aggregator, places: Places) -> None:
    with pytest.raises(TryLater, match="cannot be reached"):
        _enrol(aggregator.token(url="https://127.0.0.1:1"), places)
    with pytest.raises(Stop, match="loopback only"):
        _enrol(aggregator.token(url="http://a.example", tls_sha256=""), places)


def test_a_silo_waits_until_officers_admit_it(aggregator: Aggregator, places: Places) -> None:
    aggregator.waits = True
    first, second = (
        enrol(aggregator.token(), places, _APPLICANT, clock=lambda: _NOW) for _ in range(2)
    )
    assert isinstance(first, Waiting)
    assert (first, first.silo) == (second, "silo-a")
    assert not places.enrolment.exists()
    aggregator.waits = False
    assert _enrol(aggregator.token(), places) == first.fingerprint
    assert len({request.sign_key for request in aggregator.requests}) == 1, "keys are made once"


def _by_file(aggregator: Aggregator, places: Places, folder: Path, **changes: object) -> bytes:
    request = folder / "request.json"
    waiting = write_request(
        aggregator.token(**changes), places, _APPLICANT, request, clock=lambda: _NOW
    )
    assert waiting.silo == "silo-a"
    return aggregator.answer(EnrolmentRequest.parse(parse(request.read_bytes()).payload))


def _take(places: Places, folder: Path, content: bytes) -> Enrolled:
    (folder / "response.json").write_bytes(content)
    return take_response(places, folder / "response.json", clock=lambda: _NOW)


def test_an_enrolment_by_files_needs_no_network(
    aggregator: Aggregator, places: Places, tmp_path: Path
) -> None:
    nowhere = "https://aggregator.invalid:1"
    answer = _by_file(aggregator, places, tmp_path, url=nowhere)
    assert places.token.stat().st_mode & 0o777 == 0o600
    done = _take(places, tmp_path, answer)
    assert aggregator.requests == []
    assert done == enrolled(places)
    assert done.note.url == nowhere
    assert places.ca_file.read_text() == aggregator.pem
    assert not places.token.exists()
    assert _take(places, tmp_path, answer) == done, "a second time changes nothing"
    with pytest.raises(Stop, match="enrolled already"):
        _by_file(aggregator, places, tmp_path)


def test_a_request_may_be_written_again(
    aggregator: Aggregator, places: Places, tmp_path: Path
) -> None:
    _by_file(aggregator, places, tmp_path)
    assert _take(places, tmp_path, _by_file(aggregator, places, tmp_path)).note.silo == "silo-a"


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        ("another certificate", "wrong_certificate"),
        ("no certificate", "wrong_certificate"),
        ("another root", "wrong_root"),
        ("another silo's entry", "wrong_entry"),
        ("a cut file", "not_json"),
    ],
)
def test_a_false_response_is_refused(
    aggregator: Aggregator, places: Places, tmp_path: Path, attack: str, code: str
) -> None:
    changes: dict[str, object] = {}
    if attack == "another certificate":
        changes = {"tls_sha256": "00" * 32}
    elif attack == "no certificate":
        aggregator.pem = ""
    elif attack == "another root":
        changes = {"root_sha256": "00" * 32}
    elif attack == "another silo's entry":
        aggregator.entry = {"sign_key": "ee" * 32}
    content = _by_file(aggregator, places, tmp_path, **changes)
    with pytest.raises(Refused) as caught:
        _take(places, tmp_path, content[:-1] if attack == "a cut file" else content)
    assert caught.value.code == code
    assert not places.enrolment.exists()


def test_a_response_without_a_request_is_said(places: Places, tmp_path: Path) -> None:
    places.courier.mkdir(parents=True)
    response = b'{"kind":"enrolled","root":"","roster":"","catalogue":""}'
    with pytest.raises(Stop, match="--request"):
        _take(places, tmp_path, response)
    with pytest.raises(Stop, match="Cannot use"):
        take_response(places, tmp_path / "nothing", clock=lambda: _NOW)


def test_a_request_that_cannot_be_written_is_said(
    aggregator: Aggregator, places: Places, tmp_path: Path
) -> None:
    with pytest.raises(Stop, match="Cannot write"):
        write_request(
            aggregator.token(), places, _APPLICANT, tmp_path / "no" / "x", clock=lambda: _NOW
        )


def test_by_file_over_plain_http_nothing_is_pinned(
    aggregator: Aggregator, places: Places, tmp_path: Path
) -> None:
    plain = {"url": "http://127.0.0.1:1", "tls_sha256": ""}
    done = _take(places, tmp_path, _by_file(aggregator, places, tmp_path, **plain))
    assert done.note.url == "http://127.0.0.1:1"
    assert not places.ca_file.exists()


_NEXT = _ROOT.model_copy(update={"version": 2})
_LAST = _ROOT.model_copy(update={"version": 3})
_CHAIN = tuple(sign("root", root.to_bytes(), _KEY) for root in (_NEXT, _LAST))


@pytest.mark.parametrize(("pinned", "later"), [(_ROOT, 2), (_NEXT, 1), (_LAST, 0)])
def test_the_chain_is_walked_from_the_root_that_the_token_names(
    aggregator: Aggregator, places: Places, pinned: TrustRoot, later: int
) -> None:
    aggregator.chain = _CHAIN
    token = aggregator.token(root_sha256=sha256_bytes(pinned.to_bytes()))
    shown = _enrol(token, places)
    assert len(list(places.trust.glob("root.*.json"))) == later
    assert enrolled(places).fingerprint == shown
    assert _enrol(token, places) == shown


def test_a_broken_chain_is_refused(aggregator: Aggregator, places: Places) -> None:
    aggregator.chain = _CHAIN[1:]
    assert _code(aggregator.token(), places) == "skipped_root"
    aggregator.chain = (sign("root", _NEXT.to_bytes(), new_signing("root")),)
    assert _code(aggregator.token(), places) == "unknown_signer"


def test_an_aggregator_that_knows_no_enrolment_is_said(
    aggregator: Aggregator, places: Places
) -> None:
    aggregator.refusal, aggregator.refusal_status = b'{"code":"no_such_route","detail":"No."}', 404
    assert _code(aggregator.token(), places) == "no_such_route"


def test_over_plain_http_no_certificate_stays_pinned(
    aggregator: Aggregator, places: Places
) -> None:
    places.trust.mkdir(parents=True)
    places.ca_file.write_text("left over")
    with pytest.raises(TryLater):
        _enrol(aggregator.token(url="http://127.0.0.1:1", tls_sha256=""), places)
    assert not places.ca_file.exists()


def test_a_state_folder_that_cannot_be_written_is_said(
    aggregator: Aggregator, places: Places
) -> None:
    places.keys.parent.write_text("a file where the folder should be")
    with pytest.raises(Stop, match="Cannot write to the state folder"):
        _enrol(aggregator.token(), places)


def test_a_damaged_answer_is_refused(
    aggregator: Aggregator, places: Places, tmp_path: Path
) -> None:
    content = json.loads(_by_file(aggregator, places, tmp_path))
    broken = json.dumps({**content, "roster": "?"}).encode()
    with pytest.raises(Refused, match="malformed"):
        _take(places, tmp_path, broken)


def test_a_roster_with_another_post_quantum_key_is_refused(
    aggregator: Aggregator, places: Places
) -> None:
    aggregator.entry = {"pq_sign_key": "ee" * 1952}
    assert _code(aggregator.token(), places) == "wrong_entry"
