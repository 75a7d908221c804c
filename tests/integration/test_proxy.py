"""The courier behind a company's proxy: tunnels, exceptions, a company's own authority."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from agent.clock import now
from agent.errors import Refused, Stop, TryLater
from agent.exchange.pinning import carried_certificate, pinned_certificate
from agent.exchange.places import Places, trusted_certificates
from agent.exchange.session import Link, Peer, Timeouts
from agent.exchange.transport_log import TransportLog
from agent.keys import new_signing
from consortium.certificate import make_certificate, public_key_sha256

# Of this machine, and yet none of the addresses that never use a proxy.
_HOST = "127.0.0.2"
_FAR = "aggregator.example"


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments: object) -> None:
        pass


@dataclass
class Proxy:
    """A CONNECT proxy that leads wherever a test says, and keeps what it was asked for."""

    leads_to: int
    port: int = 0
    asked: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    says: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"

    def serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0].split(" ")[1])
        self.words += [line for line in lines if line.startswith("Proxy-Authorization")]
        client.sendall(self.says)
        if b" 200 " in self.says:
            with socket.create_connection((_HOST, self.leads_to)) as server:
                there = threading.Thread(target=_pump, args=(client, server), daemon=True)
                there.start()
                _pump(server, client)
                there.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass
class Place:
    """A TLS server and a proxy before it."""

    folder: Path
    port: int
    proxy: Proxy
    certificate: Path

    def link(self, host: str, ca_file: Path | None = None) -> Link:
        return Link(
            Peer(f"https://{host}:{self.port}", ca_file or self.certificate),
            "silo-a",
            new_signing("courier"),
            transport_log=TransportLog(self.folder / "transport.ndjson"),
            clock=now,
            timeouts=Timeouts(30.0, 30.0),
        )

    def ask(self, host: str, ca_file: Path | None = None) -> bytes:
        link = self.link(host, ca_file)
        try:
            return link.ask("GET", "/healthz").body
        finally:
            link.close()


def _server(folder: Path, host: str, name: str) -> tuple[http.server.ThreadingHTTPServer, Path]:
    key, certificate = make_certificate(host, now())
    (folder / f"{name}.key").write_bytes(key)
    (folder / f"{name}.pem").write_bytes(certificate)
    server = http.server.ThreadingHTTPServer((_HOST, 0), _Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, folder / f"{name}.pem"


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    yield from _place(tmp_path, monkeypatch, _FAR)


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    yield from _place(tmp_path, monkeypatch, _HOST)


def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> Iterator[Place]:
    server, certificate = _server(tmp_path, host, "aggregator")
    proxy = Proxy(server.server_port)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            proxy.serve(self.request)

    with ThreadingTCPServer((_HOST, 0), Handler) as tunnel:
        tunnel.daemon_threads = True
        threading.Thread(target=tunnel.serve_forever, args=(0.02,), daemon=True).start()
        proxy.port = tunnel.server_address[1]
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass%20word@{_HOST}:{proxy.port}")
        yield Place(tmp_path, server.server_port, proxy, certificate)
        tunnel.shutdown()
    server.shutdown()
    server.server_close()


def test_the_proxy_is_asked_for_a_tunnel_and_sees_no_more(far: Place) -> None:
    assert far.ask(_FAR) == b"ok"
    assert far.proxy.asked == [f"{_FAR}:{far.port}"]
    assert far.proxy.words == ["Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk"]


def test_the_certificate_is_pinned_through_the_proxy(far: Place) -> None:
    key = public_key_sha256(far.certificate)
    assert pinned_certificate(f"https://{_FAR}:{far.port}", key) == far.certificate.read_bytes()
    assert far.proxy.asked == [f"{_FAR}:{far.port}"]
    assert far.proxy.words == ["Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk"]


def test_a_host_in_no_proxy_is_asked_directly(near: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert near.ask(_HOST) == b"ok"
    assert len(near.proxy.asked) == 1
    monkeypatch.setenv("NO_PROXY", f"intranet.example,{_HOST}")
    assert near.ask(_HOST) == b"ok"
    key = public_key_sha256(near.certificate)
    assert pinned_certificate(f"https://{_HOST}:{near.port}", key)
    assert len(near.proxy.asked) == 1


@pytest.mark.parametrize("says", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n"])
def test_a_proxy_that_refuses_is_named(far: Place, says: bytes) -> None:
    far.proxy.says = says
    with pytest.raises(TryLater, match="HTTPS_PROXY"):
        far.ask(_FAR)
    with pytest.raises(TryLater, match="HTTPS_PROXY"):
        pinned_certificate(f"https://{_FAR}:{far.port}", "ab" * 32)


def test_a_proxy_address_that_is_no_url_stops_enrolment(
    far: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:no")
    with pytest.raises(Stop, match="HTTPS_PROXY is no URL"):
        pinned_certificate(f"https://{_FAR}:{far.port}", "ab" * 32)


def test_a_proxy_without_a_scheme_or_a_name_will_do(
    far: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{_HOST}:{far.proxy.port}")
    key = public_key_sha256(far.certificate)
    assert pinned_certificate(f"https://{_FAR}:{far.port}", key)
    assert far.proxy.words == []


def test_a_proxy_that_opens_tls_is_refused_until_the_company_names_its_authority(
    far: Place,
) -> None:
    """The pinned key is not seen through such a proxy; only `exchange.ca_file` lets it be."""
    server, authority = _server(far.folder, _FAR, "company")
    far.proxy.leads_to = server.server_port
    try:
        with pytest.raises(TryLater, match="not the pinned one"):
            far.ask(_FAR)
        places = Places.under(far.folder / "state")
        places.trust.mkdir(parents=True)
        places.courier.mkdir()
        places.ca_file.write_bytes(far.certificate.read_bytes())
        joined = trusted_certificates(places, authority)
        assert far.ask(_FAR, joined) == b"ok"
        far.proxy.leads_to = far.port
        assert far.ask(_FAR, joined) == b"ok"  # and the aggregator itself is still trusted
        assert trusted_certificates(places, None) == places.ca_file
        with pytest.raises(Stop, match=r"exchange\.ca_file"):
            trusted_certificates(places, far.folder / "nowhere.pem")
    finally:
        server.shutdown()
        server.server_close()


def test_a_certificate_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Refused, match="unreadable"):
        carried_certificate(b"no certificate", "00" * 32)
