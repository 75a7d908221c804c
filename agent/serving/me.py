"""`GET /v1/me`: who predict takes the caller for, so that a page can tell before it asks."""

from collections.abc import Callable, Sequence

from fastapi import FastAPI, Request

from agent.serving.access import ACCESS
from agent.serving.callers import caller_of


def room(app: FastAPI, shows: Callable[[Request], Sequence[str]] = lambda _: ()) -> None:
    """Adds the route.

    Args:
        app: Where to.
        shows: Names what there is to ask for, see `reference_room.shows`.
    """

    @app.get("/v1/me")
    async def me(request: Request) -> dict[str, str | list[str]]:
        """Says who asks and what they may do; `access` is `open` where no token was shown.

        `shows` names what this site has for the caller now: `neighbours`, `percentiles`, `site`.
        """
        caller = caller_of(request)
        access: str = getattr(request.state, ACCESS, "open")
        return {
            "name": caller.name,
            "scopes": sorted(caller.scopes),
            "access": access,
            "shows": list(shows(request)),
        }
