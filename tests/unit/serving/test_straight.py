import asyncio

from fastapi import Request, Response
from starlette.types import Message, Receive, Scope, Send

from agent.serving.problems import Problem
from agent.serving.straight import Straight


async def _elsewhere(scope: Scope, _receive: Receive, send: Send) -> None:
    await Response(f"elsewhere {scope['path']}")(scope, _receive, send)


async def _answer(request: Request) -> Response:
    content = await request.body()
    if not content:
        raise Problem(422, "malformed", "Send something.")
    return Response(content.upper())


def _asked(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(Straight(_elsewhere, "/here", _answer)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def test_its_own_path_is_answered_straight() -> None:
    assert _asked("POST", "/here", b"a") == (200, b"A")


def test_everything_else_goes_on() -> None:
    assert _asked("GET", "/here", b"") == (200, b"elsewhere /here")
    assert _asked("POST", "/there", b"a") == (200, b"elsewhere /there")


def test_a_problem_is_answered_as_one() -> None:
    status, content = _asked("POST", "/here", b"")
    assert status == 422
    assert b"Send something." in content


def test_the_layers_around_it_learn_which_route_it_was() -> None:
    scope: Scope = {"type": "http", "method": "POST", "path": "/here", "headers": []}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"a", "more_body": False}

    async def send(_message: Message) -> None:
        pass

    asyncio.run(Straight(_elsewhere, "/here", _answer)(scope, receive, send))
    assert scope["route"].path == "/here"
