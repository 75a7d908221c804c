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
from agent.exchange.enrol import Applicant, enrol, enrolled
from agent.exchange.places import Places
from agent.files import sha256_bytes
from agent.keys import new_signing
from agent.wire.documents import (
    Catalogue,
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
        return json.dumps({"kind": "enrolled", **signed}).encode()

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
            content = held.refusal or held.answer(request)
            self.send_response(403 if held.refusal else 200)
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
    yield held
    server.shutdown()
    server.server_close()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.under(tmp_path / "state")


def _enrol(token: str, places: Places) -> str:
    return enrol(token, places, _APPLICANT, clock=lambda: _NOW).fingerprint


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


def test_a_state_folder_that_cannot_be_made_is_said(aggregator: Aggregator, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file")
    with pytest.raises(Stop, match="Cannot write to the state folder"):
        _enrol(aggregator.token(), Places.under(tmp_path / "state"))
