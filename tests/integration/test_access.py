"""`onggi serve` behind its door: real processes, real HTTP and TLS, the real commands."""

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from agent import clock
from agent.errors import EXIT_STOP
from agent.releases import folder
from agent.serving.headers import CONTENT_SECURITY_POLICY
from tests.kit.provider import AUDIENCE, ISSUER, Provider
from tests.unit.serving.conftest import build
from tests.unit.serving.test_tls import Files

ONGGI = (sys.executable, "-m", "agent")


class Host:
    """A configured host: its commands, its service, and requests to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.log = root / "log"
        (self.state / "releases").mkdir(parents=True)
        self.port = _free_port()
        self.settings: list[str] = []
        self.service: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        path = self.root / "onggi.toml"
        head = [f'[site]\nstate = "{self.state}"', f"[serve]\nport = {self.port}\nthreads = 1"]
        path.write_text("\n".join([*head, *self.settings]) + "\n")
        return path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*ONGGI, "--config", str(self.config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def said(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self) -> None:
        with self.log.open("ab") as handle:
            self.service = subprocess.Popen(
                [*ONGGI, "--config", str(self.config), "serve"], stderr=handle, stdout=handle
            )
        _until(lambda: self._is_ready() or self._ended())
        assert not self._ended(), self.log.read_text()

    def stop(self) -> None:
        if self.service is not None and self.service.poll() is None:
            self.service.send_signal(signal.SIGTERM)
            self.service.wait()

    def _is_ready(self) -> bool:
        try:
            status = json.loads((self.state / "predict" / "status.json").read_bytes())
        except FileNotFoundError:
            return False
        assert self.service is not None
        return status["pid"] == self.service.pid and status["ready"] is True

    def _ended(self) -> bool:
        return self.service is not None and self.service.poll() is not None

    def ask(
        self,
        method: str,
        path: str,
        token: str = "",
        body: object = None,
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> tuple[HTTPResponse, Any]:
        connection = (
            HTTPConnection("127.0.0.1", self.port)
            if context is None
            else HTTPSConnection("localhost", self.port, context=context)
        )
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, content, {**bearer, **headers})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response, json.loads(text) if text[:1] == b"{" else text

    def code(self, *arguments: Any) -> tuple[int, str]:  # noqa: ANN401 - those of `ask`
        response, document = self.ask(*arguments)
        return response.status, document.get("code", "")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.05)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    build(made.state / "releases", "r1", 1, 0.5)
    folder.activate(made.state / "releases", "r1")
    yield made
    made.stop()


CCO = {"smiles": ["CCO", "nonsense"]}


@pytest.mark.slow
def test_tokens_scopes_rates_headers_and_the_audit_log_of_a_running_service(host: Host) -> None:
    host.start()
    assert host.ask("POST", "/v1/predict", "", CCO)[0].status == 200  # open, on this host alone
    kim = host.said("token", "add", "kim", "--scope", "predict")
    slow = host.said("token", "add", "slow", "--scope", "predict", "--rate", "1")
    watch = host.said("token", "add", "watch", "--scope", "admin")
    predict = ("POST", "/v1/predict")
    assert host.code(*predict, "", CCO) == (401, "token_missing")
    assert host.code(*predict, "ong_no", CCO) == (401, "token_unknown")
    assert host.code(*predict, watch, CCO) == (403, "not_allowed")
    assert host.ask(*predict, slow, CCO)[0].status == 200
    refused, problem = host.ask(*predict, slow, CCO)
    assert (refused.status, problem["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    me = host.ask("GET", "/v1/me", kim)[1]
    assert me.pop("shows") in ([], ["percentiles"])  # these are worked out meanwhile
    assert me == {"name": "kim", "scopes": ["predict"], "access": "token"}
    assert host.code(*predict, kim, {"smiles": 5})[0] == 422
    assert host.code("POST", "/v1/CCO", kim, {}) == (404, "no_such_route")

    _check_headers(host, kim)
    assert host.ask(*predict, kim, CCO)[0].status == 200
    host.said("token", "revoke", "kim")
    assert host.code(*predict, kim, CCO) == (401, "token_revoked")
    _, metrics = host.ask("GET", "/metrics", watch)
    assert b'onggi_predict_requests_total{route="other",status="429"} 1.0' in metrics

    host.stop()
    lines = [json.loads(line) for line in host.said("audit", "export", "--json").splitlines()]
    assert [(line["who"], line["route"], line["status"]) for line in lines] == [
        ("local", "/v1/predict", 200),
        ("slow", "/v1/predict", 200),
        ("kim", "/v1/predict", 422),
        ("kim", "other", 404),
        ("kim", "/v1/predict", 405),
        ("kim", "/v1/predict", 422),
        ("kim", "/v1/predict", 200),
    ]
    assert {key: lines[-1][key] for key in ("structures", "bad", "release", "address")} == {
        "structures": 2,
        "bad": 1,
        "release": "r1",
        "address": "127.0.0.1",
    }
    kept = "".join(path.read_text() for path in (host.state / "predict" / "audit").iterdir())
    for secret in ("CCO", "nonsense", kim, slow, watch):
        assert secret not in kept + host.log.read_text()
    assert {path.name for path in (host.state / "predict").iterdir()} >= {"audit", "tokens.json"}


def _check_headers(host: Host, token: str) -> None:
    """Asks in every way that is answered, and looks for the headers of the page's contract."""
    answers = [
        host.ask(*asked)[0]
        for asked in (
            ("GET", "/v1/model", token),
            ("GET", "/v1/model"),
            ("GET", "/healthz"),
            ("GET", "/v1/none", token),
            ("PUT", "/v1/predict", token),
            ("POST", "/v1/predict", token, {"smiles": 5}),
        )
    ]
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answers += [
        host.ask("OPTIONS", "/v1/predict", token, None, None, **origin)[0],
        host.ask("OPTIONS", "/v1/predict", "", None, None, **origin)[0],
        host.ask("GET", "/healthz", Host="evil.example")[0],
    ]
    assert {answer.status for answer in answers} == {200, 401, 403, 404, 405, 421, 422}
    for answer in answers:
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert answers[0].headers["Cache-Control"] == answers[1].headers["Cache-Control"] == "no-store"


@pytest.mark.slow
def test_who_is_refused_is_answered_before_the_body_is_read(host: Host) -> None:
    host.said("token", "add", "kim", "--scope", "predict")
    host.start()
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_it_does_not_start_open_to_the_network(host: Host) -> None:
    host.settings = ['host = "::"']
    done = host.run("serve")
    assert done.returncode == EXIT_STOP
    assert "make a token with `onggi token add NAME --scope predict`" in done.stderr


@pytest.mark.slow
def test_tls_with_a_certificate_that_is_renewed_and_a_providers_tokens(
    host: Host, tmp_path: Path
) -> None:
    files, provider = Files(tmp_path), Provider(tmp_path / "jwks.json")
    host.settings = [
        'names = ["localhost"]',
        f'certificate = "{files.certificate}"\nkey = "{files.key}"',
        f'[serve.oidc]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "{provider.jwks}"',
    ]
    host.start()
    token = provider.token(clock.now(), "ec", "ES256").decode()
    first = ssl.create_default_context(cafile=str(files.certificate))
    first.maximum_version = ssl.TLSVersion.TLSv1_2
    _, me = host.ask("GET", "/v1/me", token, None, first)
    assert me.pop("shows") in ([], ["percentiles"])  # these are worked out meanwhile
    assert me == {"name": "oidc:u-17", "scopes": ["predict"], "access": "token"}
    expired = provider.token(clock.now() - timedelta(days=1)).decode()
    assert host.code("GET", "/v1/me", expired, None, first) == (401, "token_expired")
    provider.publish("rsa")
    assert host.code("GET", "/v1/me", token, None, first) == (401, "token_unknown")

    files.renew()
    second = ssl.create_default_context(cafile=str(files.certificate))
    _until(lambda: _trusted(host, second))
    with pytest.raises(ssl.SSLCertVerificationError):
        host.ask("GET", "/healthz", "", None, first)

    path = tmp_path / "token"
    path.write_bytes(provider.token(clock.now()))
    ask = ("predict", "CCO", "--json", "--token-file", str(path))
    answer = json.loads(host.said(*ask, "--ca-file", str(files.certificate)))
    assert answer["release"] == "r1"
    untrusted = host.run(*ask)
    assert untrusted.returncode == EXIT_STOP
    assert "name your authority's with --ca-file" in untrusted.stderr


def _trusted(host: Host, context: ssl.SSLContext) -> bool:
    try:
        return host.ask("GET", "/healthz", "", None, context)[0].status == 200
    except ssl.SSLCertVerificationError:
        return False
