"""How a command asks the keeper for something: it alone writes the ledger."""

from pathlib import Path
from threading import Event

import click

from agent.clock import monotonic_s, now, rest
from agent.config import Paths
from agent.errors import Stop, TryLater
from agent.keeper.requests import Action, ask, new_request

BY = click.option("--by", default="", help="Your name, for the ledger; your account is noted, too.")
_WAIT_S = 15.0


def ask_keeper(
    paths: Paths,
    action: Action,
    envelope_id: str = "",
    by: str = "",
    carried: tuple[str, int] = ("", 0),
) -> None:
    """Lays a request down and waits until the keeper has taken it; see `new_request`.

    Raises:
        Stop: This account may not ask, or there is no folder for it.
        TryLater: The keeper has not taken it in time; it will when it runs.
    """
    try:
        path = ask(paths.requests, new_request(action, envelope_id, by[:100], now(), carried))
    except OSError as error:
        raise Stop(
            f"Cannot ask the keeper ({paths.requests}: {error.strerror}); run this as root or as "
            "onggi-keeper, and run the keeper once before."
        ) from error
    if not _taken(path):
        raise TryLater("The keeper has not taken the request yet; it does when it runs. Is it?")


def _taken(path: Path) -> bool:
    never, until_s = Event(), monotonic_s() + _WAIT_S
    while path.exists() and monotonic_s() < until_s:
        rest(never, 0.1)
    return not path.exists()
