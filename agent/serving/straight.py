"""The way past the framework's routing for the one route that is asked for single molecules."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.serving.problems import Problem

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """What the router would leave in the scope: the audit log names a call by its path."""

    path: str


class Straight:
    """Hands POST requests for one path to what answers them; plain ASGI, below all other layers.

    FastAPI solves dependencies and opens two exit stacks for each request, of which the route uses
    nothing; it stays there for the OpenAPI document.

    Args:
        app: What answers everything else.
        path: The route's.
        answer: What the route calls, too.
    """

    def __init__(self, app: ASGIApp, path: str, answer: Answer) -> None:
        self._app = app
        self._route = Route(path)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope.get("path") != self._route.path or scope.get("method") != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            response = await self._answer(Request(scope, receive))
        except Problem as problem:
            response = problem.response()
        await response(scope, receive, send)
