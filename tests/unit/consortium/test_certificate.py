"""The certificate pins and verifies for the host it was made for, and for no other."""

import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.clock import now
from agent.errors import Stop
from consortium.certificate import is_loopback, make_certificate, public_key_sha256


def _handshake(folder: Path, name: str) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "c.pem", folder / "k.pem")
    client = ssl.create_default_context(cafile=folder / "c.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def answer() -> None:
        try:
            server.wrap_socket(far, server_side=True).close()
        except ssl.SSLError:
            far.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        client.wrap_socket(near, server_hostname=name).close()
    finally:
        near.close()
        thread.join()


def _write(folder: Path, host: str) -> None:
    key, certificate = make_certificate(host, now())
    (folder / "k.pem").write_bytes(key)
    (folder / "c.pem").write_bytes(certificate)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_strict_client_believes_it_for_its_host(tmp_path: Path, name: str) -> None:
    _write(tmp_path, "127.0.0.1")
    _handshake(tmp_path, name)


def test_no_client_believes_it_for_another(tmp_path: Path) -> None:
    _write(tmp_path, "onggi.example.org")
    _handshake(tmp_path, "onggi.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, "127.0.0.1")


def test_each_has_a_key_of_its_own(tmp_path: Path) -> None:
    pins = set()
    for _ in range(2):
        _write(tmp_path, "127.0.0.1")
        pins.add(public_key_sha256(tmp_path / "c.pem"))
    assert len(pins) == 2


def test_a_missing_certificate_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="restore"):
        public_key_sha256(tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_which_hosts_are_loopback(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_it_is_valid_from_a_day_before() -> None:
    from cryptography import x509

    _, pem = make_certificate("127.0.0.1", datetime(2026, 1, 2, tzinfo=UTC))
    assert x509.load_pem_x509_certificate(pem).not_valid_before_utc == datetime(
        2026, 1, 1, tzinfo=UTC
    )
