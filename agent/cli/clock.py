"""`onggi accept-clock`: a person says that this host's clock is right."""

from pathlib import Path

import click

from agent import clock
from agent.config import Paths, load


@click.command("accept-clock")
@click.confirmation_option(prompt="Have you compared this host's clock with another one?")
@click.pass_obj
def accept_clock(config_path: Path) -> None:
    """Forget that the clock once showed a later time; stop the keeper first.

    While it is remembered, releases are judged by it, so that no clock set back makes an old one
    good.
    """
    from agent.files import exclusive
    from agent.keeper.assemble import read_enrolment
    from agent.keeper.timekeeping import accept_clock
    from agent.ledger.book import Ledger

    paths, now = Paths(load(config_path).site.state), clock.now()
    read_enrolment(paths)  # says so where there is no ledger yet
    with exclusive(paths.state / "keeper.lock"), Ledger(paths.ledger) as ledger:
        before = accept_clock(ledger, now)
    click.echo(f"The latest time was {clock.to_text(before)}; it is {clock.to_text(now)} now.")
