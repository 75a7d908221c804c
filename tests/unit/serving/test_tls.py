"""Real handshakes over a pair of sockets."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from agent.clock import now
from agent.errors import Stop
from agent.serving.tls import Certificate
from consortium.certificate import make_certificate


class Files:
    """A certificate and its key, renewed by rename."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "c.pem", folder / "k.pem"
        self.renew()

    def renew(self, *, certificate: bool = True, key: bool = True) -> bytes:
        new_key, new = make_certificate("localhost", now())
        for path, content, wanted in (
            (self.certificate, new, certificate),
            (self.key, new_key, key),
        ):
            if wanted:
                fresh = path.with_suffix(".new")
                fresh.write_bytes(content)
                fresh.replace(path)
        return new


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def _shake(
    server: ssl.SSLContext, name: str | None = "localhost", most: ssl.TLSVersion | None = None
) -> tuple[bytes, str]:
    """Returns the certificate that a client was shown, and the version of the protocol."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    if most is not None:
        client.minimum_version, client.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, most
    near, far = socket.socketpair()

    def answer() -> None:
        try:
            server.wrap_socket(far, server_side=True).close()
        except OSError:
            far.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as connection:
            shown = connection.getpeercert(binary_form=True) or b""
            return shown, connection.version() or ""
    finally:
        near.close()
        thread.join()


def _der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def test_a_renewed_certificate_is_shown_without_a_restart(files: Files) -> None:
    first = files.renew()
    certificate = Certificate(files.certificate, files.key)
    certificate.renew()
    assert _shake(certificate.context)[0] == _der(first)
    second = files.renew()
    assert _shake(certificate.context)[0] == _der(first), "not looked yet"
    certificate.renew()
    assert _shake(certificate.context)[0] == _der(second)
    assert _shake(certificate.context, None)[0] == _der(second), "a client that names no host"


def test_half_a_pair_leaves_the_old_one_in_use(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    first = files.renew()
    certificate = Certificate(files.certificate, files.key)
    second = files.renew(key=False)
    for _ in range(3):
        certificate.renew()
    assert _shake(certificate.context)[0] == _der(first)
    assert caplog.text.count("certificate_not_taken") == 1
    files.certificate.unlink()
    certificate.renew()
    assert _shake(certificate.context)[0] == _der(first)
    third = files.renew()
    certificate.renew()
    assert _shake(certificate.context)[0] == _der(third) != _der(second)


def test_nothing_below_tls_1_2(files: Files) -> None:
    certificate = Certificate(files.certificate, files.key)
    assert _shake(certificate.context)[1] == "TLSv1.3"
    assert _shake(certificate.context, most=ssl.TLSVersion.TLSv1_2)[1] == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
        _shake(certificate.context, most=ssl.TLSVersion.TLSv1_1)
    ciphers = {cipher["name"] for cipher in certificate.context.get_ciphers()}
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in ciphers)
    assert not [name for name in ciphers if "CBC" in name or name.endswith("-SHA")]


@pytest.mark.parametrize("content", [b"", b"no PEM", None])
def test_what_is_no_pair_stops_the_start(files: Files, content: bytes | None) -> None:
    if content is None:
        files.key.unlink()
    else:
        files.key.write_bytes(content)
    with pytest.raises(Stop, match="both must be PEM, belong together"):
        Certificate(files.certificate, files.key)


def test_a_key_of_another_certificate_and_one_with_a_password_stop_it(
    files: Files, tmp_path: Path
) -> None:
    files.renew(certificate=False)
    with pytest.raises(Stop, match="belong together"):
        Certificate(files.certificate, files.key)
    from cryptography.hazmat.primitives import serialization as forms

    key = forms.load_pem_private_key(files.key.read_bytes(), None)
    hidden = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(b"word")
    )
    files.key.write_bytes(hidden)
    with pytest.raises(Stop, match="have no password"):
        Certificate(files.certificate, files.key)
