import pytest
from fastapi import FastAPI, Response

from agent.serving import problems
from agent.serving.headers import CONTENT_SECURITY_POLICY, SecurityHeaders
from tests.kit.asgi import Answer, ask


def _app() -> SecurityHeaders:
    app = FastAPI()
    problems.install(app)

    @app.get("/v1/here")
    def here() -> dict[str, str]:
        return {}

    @app.get("/static/file")
    def file() -> Response:
        return Response(b"", headers={"Cache-Control": "max-age=60", "ETag": '"1"'})

    @app.get("/v1/fault")
    def fault() -> None:
        raise RuntimeError

    return SecurityHeaders(app)


def _check(answer: Answer) -> None:
    assert answer.header("content-security-policy") == CONTENT_SECURITY_POLICY
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("cross-origin-opener-policy") == "same-origin"
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/here", 200), ("/v1/none", 404), ("/static/file", 200), ("/v1/fault", 500)],
)
def test_every_answer_bears_them(path: str, status: int) -> None:
    answer = ask(_app(), path)
    assert answer.status == status
    _check(answer)


def test_answers_about_compounds_stay_in_no_cache_and_a_routes_own_word_counts() -> None:
    assert ask(_app(), "/v1/here").header("cache-control") == "no-store"
    assert ask(_app(), "/static/file").header("cache-control") == "max-age=60"
    assert "cache-control" not in dict(ask(_app(), "/nowhere").headers)


def test_a_page_of_elsewhere_is_allowed_nothing() -> None:
    asked = [
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ]
    answer = ask(_app(), "/v1/here", asked, method="OPTIONS")
    assert answer.status == 405
    _check(answer)


def test_the_policy_allows_neither_inline_nor_eval() -> None:
    assert "unsafe-inline" not in CONTENT_SECURITY_POLICY
    assert "'unsafe-eval'" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; script-src 'self' ")
