"""Who may ask for the status: nobody from another machine."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI

from consortium.folder import Folder
from consortium.serve import build

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _get(app: FastAPI, path: str, client: tuple[str, int] | None) -> tuple[int, dict[str, Any]]:
    """Asks as an ASGI server would on behalf of a client with that address."""
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [], "client": client, "http_version": "1.1",
        "scheme": "https", "server": ("aggregator", 8443), "root_path": "",
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own type is a mapping of anything
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("127.0.0.1", 1), 200),
        (("::1", 1), 200),
        (("::ffff:127.0.0.1", 1), 200),
        (("10.0.0.7", 1), 403),
        (("2001:db8::7", 1), 403),
        (None, 403),
    ],
)
def test_the_status_is_for_the_aggregators_own_host(
    running: "House", client: tuple[str, int] | None, status: int
) -> None:
    service = build(Folder(running.folder.root), lambda: running.now)
    try:
        code, answer = _get(service.app, "/v1/status", client)
        assert code == status
        if status == 200:
            assert answer["members"] == ["a", "b", "c"]
        else:
            assert answer["code"] == "loopback_only"
            assert "p1" not in str(answer)
        assert _get(service.app, "/healthz", client)[0] == 200
    finally:
        service.store.close()
