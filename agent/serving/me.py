"""`GET /v1/me`: who predict takes the caller for, so that a page can tell before it asks."""

from fastapi import FastAPI, Request

from agent.serving.access import ACCESS
from agent.serving.callers import caller_of


def room(app: FastAPI) -> None:
    """Adds the route."""

    @app.get("/v1/me")
    async def me(request: Request) -> dict[str, str | list[str]]:
        """Says who asks and what they may do; `access` is `open` where no token was shown."""
        caller = caller_of(request)
        access: str = getattr(request.state, ACCESS, "open")
        return {"name": caller.name, "scopes": sorted(caller.scopes), "access": access}
