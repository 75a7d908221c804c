from fastapi import FastAPI

from agent.serving import me
from tests.kit.asgi import ask


def test_without_access_everybody_is_local() -> None:
    app = FastAPI()
    me.room(app)
    answer = ask(app, "/v1/me")
    assert answer.json == {
        "name": "local",
        "scopes": ["admin", "data", "predict"],
        "access": "open",
        "shows": [],
    }
    assert "/v1/me" in app.openapi()["paths"]
