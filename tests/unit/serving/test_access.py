import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from agent import clock
from agent.errors import Stop
from agent.serve_settings import OidcSection, ServeSection
from agent.serving import access, me, problems, tokens
from agent.serving.access import Access, Asked, CheckedAccess, is_loopback
from agent.serving.callers import Scope, demand
from agent.serving.problems import Problem
from tests.kit.asgi import Answer, ask
from tests.kit.provider import AUDIENCE, ISSUER, Provider

HOST = ("Host", "127.0.0.1:8600")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a site may listen on


class Site:
    """Predict's state folder, and requests to what stands behind its access."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.refused: list[int] = []
        self._app: CheckedAccess | None = None

    def token(
        self,
        name: str = "kim",
        *scopes: Scope,
        rate: int = 0,
        days: int | None = None,
        ago: int = 0,
    ) -> str:
        made = clock.now() - timedelta(days=ago)
        draft = tokens.drafted(name, scopes or ("predict",), rate, days, made)
        return tokens.add(self.state, draft, made)

    def start(self, section: ServeSection = ServeSection()) -> "Site":  # noqa: B008 - frozen
        access = Access(section, self.state)
        self._app = CheckedAccess(_behind(), access, self.refused.append)
        return self

    def ask(self, path: str = "/v1/me", token: str = "", *more: tuple[str, str]) -> Answer:
        assert self._app is not None
        bearer = [("Authorization", f"Bearer {token}")] if token else []
        headers = more if any(name == "Host" for name, _ in more) else (HOST, *more)
        return ask(self._app, path, [*headers, *bearer])

    def code(
        self, path: str = "/v1/me", token: str = "", *more: tuple[str, str]
    ) -> tuple[int, str]:
        answer = self.ask(path, token, *more)
        return answer.status, answer.json.get("code", "")


def _nothing() -> None: ...


def _behind() -> FastAPI:
    app = FastAPI(docs_url=None)
    problems.install(app)
    me.room(app)

    for path in ("/", "/docs", "/static/a.js", "/healthz", "/readyz", "/metrics", "/v1/predict"):
        app.get(path)(_nothing)

    @app.get("/v1/neighbours")
    def neighbours(request: Request) -> None:
        demand(request, "data")

    return app


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_on_this_host_alone_everybody_may_do_everything(site: Site) -> None:
    answer = site.start().ask()
    assert answer.json == {
        "name": "local",
        "scopes": ["admin", "data", "predict"],
        "access": "open",
        "shows": [],
    }
    assert site.ask("/v1/neighbours").status == 200
    assert site.ask("/v1/me", "ong_whatever").json["name"] == "local"


def test_with_a_token_made_access_is_checked_at_once_here_too(site: Site) -> None:
    site.start()
    assert site.ask("/v1/predict").status == 200
    secret = site.token()
    assert site.code("/v1/predict") == (401, "token_missing")
    assert site.ask("/v1/me", secret).json == {
        "name": "kim",
        "scopes": ["predict"],
        "access": "token",
        "shows": [],
    }
    (site.state / tokens.FILE).unlink()  # a file that is lost opens no door
    assert site.code("/v1/predict") == (401, "token_missing")
    assert site.code("/v1/predict", secret) == (401, "token_unknown")


def test_each_refusal_has_its_name(site: Site) -> None:
    good, revoked = site.token(), site.token("lee")
    expired = site.token("old", days=1, ago=2)
    site.start(ServeSection(host=EVERYWHERE))
    assert site.code("/v1/predict") == (401, "token_missing")
    assert site.code("/v1/predict", "ong_no") == (401, "token_unknown")
    assert site.code("/v1/predict", expired) == (401, "token_expired")
    assert site.ask("/v1/predict", revoked).status == 200
    tokens.revoke(site.state, "lee", clock.now())
    assert site.code("/v1/predict", revoked) == (401, "token_revoked")
    assert site.ask("/v1/predict", good).status == 200
    assert site.code("/v1/neighbours", good) == (403, "not_allowed")
    assert site.refused == [401] * 4


def test_a_refusal_names_the_scheme_and_leaves_no_token_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.token()
    site.start()
    with caplog.at_level(logging.INFO):
        answers = [site.ask("/v1/predict", "ong_secret") for _ in range(30)]
    assert {answer.header("www-authenticate") for answer in answers} == {'Bearer realm="onggi"'}
    assert answers[0].header("content-type") == "application/problem+json"
    assert caplog.text.count("access_refused") == 1  # a flood fills no journal
    assert "secret" not in caplog.text
    assert b"secret" not in answers[0].body


def test_scopes_are_what_a_token_may_do(site: Site) -> None:
    data, watch = site.token("data", "predict", "data"), site.token("watch", "admin")
    site.start()
    assert site.ask("/v1/neighbours", data).status == 200
    assert site.ask("/metrics", watch).status == 200
    assert site.ask("/v1/me", watch).json["scopes"] == ["admin"]
    assert site.code("/v1/predict", watch) == (403, "not_allowed")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/a.js", "/openapi.json", "/healthz", "/readyz"]
)
def test_the_pages_own_files_need_no_token(site: Site, path: str) -> None:
    site.token()
    assert site.start().ask(path).status == 200


@pytest.mark.parametrize(
    "path", ["/metrics", "/v1/me", "/v1/none", "//", "/healthz/", "/docsx", "/static", "/Docs", ""]
)
def test_whatever_is_not_listed_as_open_needs_one(site: Site, path: str) -> None:
    site.token()
    assert site.start().code(path) == (401, "token_missing")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic a2ltOng=", "ong_x", "Bearer\u00a0x", "Bearer a b", "Token {}"],
)
def test_no_other_header_is_a_token(site: Site, header: str) -> None:
    secret = site.token()
    site.start()
    answer = site.ask("/v1/me", "", ("Authorization", header.format(secret)))
    assert (answer.status, answer.json["code"]) == (401, "token_unknown")


def test_two_headers_are_none_and_the_schemes_case_does_not_matter(site: Site) -> None:
    secret = site.token()
    site.start()
    assert site.code("/v1/me", secret, ("Authorization", f"Bearer {secret}"))[0] == 401
    assert site.ask("/v1/me", "", ("Authorization", f"bearer  {secret} ")).status == 200


def test_a_rate_is_a_callers_own_and_says_when(site: Site) -> None:
    slow, other = site.token("slow", rate=2), site.token("other")
    site.start(ServeSection(rate_per_minute=3))
    assert [site.ask("/v1/me", slow).status for _ in range(2)] == [200, 200]
    refused = site.ask("/v1/me", slow)
    assert (refused.status, refused.json["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.header("retry-after")) <= 30
    assert [site.ask("/v1/me", other).status for _ in range(4)] == [200, 200, 200, 429]
    assert site.ask("/healthz").status == 200


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.1.2.3", "onggi.example.com"])
def test_it_does_not_start_open_to_the_network(site: Site, host: str) -> None:
    with pytest.raises(Stop, match="make a token with `onggi token add NAME --scope predict`"):
        site.start(ServeSection(host=host))
    assert site.start(ServeSection(host=host, open=True)).ask("/v1/predict").status == 200
    site.token()
    assert site.start(ServeSection(host=host)).code("/v1/predict") == (401, "token_missing")


def test_open_means_predicting_alone(site: Site) -> None:
    site.start(ServeSection(host=EVERYWHERE, open=True))
    assert site.ask().json == {
        "name": "anonymous",
        "scopes": ["predict"],
        "access": "open",
        "shows": [],
    }
    assert site.code("/v1/neighbours") == (403, "not_allowed")
    secret = site.token("kim", "predict", "data")
    assert site.ask("/v1/neighbours", secret).status == 200
    assert site.ask("/v1/predict").status == 200
    assert site.code("/v1/predict", "ong_x") == (401, "token_unknown")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8600",
        "",
        "[::2]",
        "10.0.0.1",
    ],
)
def test_a_page_whose_name_was_bound_to_this_host_reads_nothing(site: Site, host: str) -> None:
    site.start()
    for path in ("/v1/predict", "/", "/healthz"):
        assert site.code(path, "", ("Host", host)) == (421, "other_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8600", "[::1]:8600"])
def test_this_hosts_own_names_are_taken(site: Site, host: str) -> None:
    assert site.start().ask("/v1/predict", "", ("Host", host)).status == 200


def test_elsewhere_the_names_count_that_it_knows(site: Site) -> None:
    secret = site.token()
    site.start(ServeSection(host="10.1.2.3", names=("onggi.example.com",)))
    for name in ("onggi.example.com", "ONGGI.example.com:8600", "10.1.2.3", "localhost"):
        assert site.ask("/v1/me", secret, ("Host", name)).status == 200
    assert site.code("/v1/me", secret, ("Host", "evil.example")) == (421, "other_host")
    any_name = site.start(ServeSection(host="10.1.2.3"))
    assert any_name.ask("/v1/me", secret, ("Host", "whatever")).status == 200


def test_two_hosts_are_none(site: Site) -> None:
    site.start()
    assert site.code("/", "", HOST, ("Host", "evil.example")) == (421, "other_host")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8600", 200),
        ("http://127.0.0.1:3000", 403),
        ("https://onggi.example.com", 200),  # a name that IT gave, hidden by a proxy
        ("https://evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_of_elsewhere_may_not_even_ask(site: Site, origin: str, status: int) -> None:
    site.start(ServeSection(names=("onggi.example.com",)))
    assert site.ask("/v1/predict", "", ("Origin", origin)).status == status


def test_a_proxy_on_this_host_does_not_make_its_callers_local(site: Site) -> None:
    site.start()
    for header in (("X-Forwarded-For", "10.9.9.9"), ("Forwarded", "for=10.9.9.9")):
        assert site.code("/v1/predict", "", header) == (401, "token_missing")


def test_a_list_of_tokens_that_cannot_be_read_lets_nobody_in(site: Site) -> None:
    secret = site.token()
    site.start()
    (site.state / tokens.FILE).write_bytes(b"{")
    answer = site.ask("/v1/me", secret)
    assert (answer.status, answer.json["code"]) == (503, "access_unreadable")
    with pytest.raises(Stop, match="restore the file"):
        site.start()


def test_a_providers_token_is_as_good(site: Site, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "jwks.json")
    section = OidcSection(issuer=ISSUER, audience=AUDIENCE, jwks=provider.jwks, data=("chemists",))
    site.start(ServeSection(oidc=section, rate_per_minute=2))
    assert site.code("/v1/predict") == (401, "token_missing")  # on loopback, too
    good = provider.token(clock.now()).decode()
    assert site.ask("/v1/me", good).json["scopes"] == ["data", "predict"]
    assert site.ask("/v1/neighbours", good).status == 200
    assert site.code("/v1/me", good) == (429, "too_many_requests")
    old = provider.token(clock.now() - timedelta(days=1)).decode()
    assert site.code("/v1/me", old) == (401, "token_expired")
    nobody = provider.token(clock.now(), aud="x").decode()
    assert site.code("/v1/me", nobody) == (401, "token_unknown")
    own = site.token()
    assert site.ask("/v1/me", own).json["name"] == "kim"


def test_without_a_provider_its_tokens_are_unknown(site: Site) -> None:
    site.token()
    assert site.start().code("/v1/me", "a.b.c") == (401, "token_unknown")


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *((name, True) for name in ("127.0.0.1", "127.8.8.8", "::1", "localhost")),
        *((name, False) for name in (EVERYWHERE, "::", "10.0.0.1", "localhost.x")),
    ],
)
def test_what_reaches_from_this_host_alone(host: str, *, alone: bool) -> None:
    assert is_loopback(host) == alone


def test_no_other_kind_of_connection_passes(site: Site) -> None:
    seen: list[str] = []

    async def app(scope: AsgiScope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    door = CheckedAccess(app, Access(ServeSection(), site.state), site.refused.append)
    asyncio.run(door({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    asyncio.run(door({"type": "websocket"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]


def test_a_problem_tells_what_to_do(site: Site) -> None:
    site.token()
    known = Access(ServeSection(), site.state)
    asked = Asked("/v1/me", ("localhost",), (), (), passed_on=False, address="")
    with pytest.raises(Problem) as caught:
        known.admit(asked)
    assert "onggi token add" in caught.value.detail
    assert json.loads(bytes(caught.value.response().body))["status"] == 401


def test_the_open_paths_are_few() -> None:
    assert access._OPEN | set(access._OPEN_BELOW) == {
        *("/", "/docs", "/openapi.json", "/healthz", "/readyz"),
        *("/static/", "/docs/"),
    }
