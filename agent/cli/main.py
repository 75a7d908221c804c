"""`onggi`: the commands, and how their errors become exit codes.

Exit codes: 0 done; 1 failed or refused; 2 wrong usage; 75 try again later; 78 a person must change
something first (systemd does not restart then).
"""

import logging
import sys
from importlib import import_module
from pathlib import Path

import click

from agent import __version__, log
from agent.config import DEFAULT_CONFIG
from agent.errors import EXIT_FAILED, OnggiError

_logger = logging.getLogger(__name__)

# Where each command is; its module is imported only when it is used, so that all start quickly.
_COMMANDS = {
    "check-config": "agent.cli.setup:check_config",
    "keygen": "agent.cli.setup:keygen",
    "enroll": "agent.cli.setup:enroll",
    "keys": "agent.cli.keys:keys",
    "run": "agent.cli.services:run",
    "keeper": "agent.cli.services:keeper",
    "courier": "agent.cli.services:courier",
    "carry": "agent.cli.carry:carry",
    "serve": "agent.cli.services:serve",
    "predict-worker": "agent.cli.services:predict_worker",
    "reader": "agent.cli.services:reader",
    "work": "agent.cli.services:work",
    "status": "agent.cli.look:status",
    "backup": "agent.cli.backup:backup",
    "restore": "agent.cli.backup:restore",
    "support-bundle": "agent.cli.support:support_bundle",
    "doctor": "agent.cli.doctor:doctor",
    "log-level": "agent.cli.log_level:log_level",
    "accept-clock": "agent.cli.clock:accept_clock",
    "egress": "agent.cli.egress:egress",
    "outbox": "agent.cli.outbox:outbox",
    "policy": "agent.cli.policy:policy",
    "privacy": "agent.cli.privacy:privacy",
    "replay": "agent.cli.replay:replay",
    "releases": "agent.cli.releases:releases",
    "ingest": "agent.cli.ingest:ingest",
    "report": "agent.cli.report:report",
    "profile": "agent.cli.profile:profile",
    "trace": "agent.cli.trace:trace",
    "export": "agent.cli.export:export",
    "import-releases": "agent.cli.stick:import_releases",
    "predict": "agent.cli.predict:predict",
    "token": "agent.cli.token:token",
    "audit": "agent.cli.audit:audit",
    "mcp": "agent.cli.mcp:mcp",
    "card": "agent.cli.card:card",
    "evaluate": "agent.cli.evaluate:evaluate",
    "demo": "agent.cli.demo:demo",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.command(cls=_Commands, epilog="Exit codes: 0 done, 1 failed, 2 usage, 75 later, 78 stop.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    envvar="ONGGI_CONFIG",
    show_default=True,
    help="The configuration file.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="How much goes into the log on stderr.",
)
@click.version_option(__version__, prog_name="onggi")
@click.pass_context
def onggi(ctx: click.Context, config: Path, log_level: str) -> None:
    """Onggi learns ADMET models from your own assays, together with others, on your own host."""
    log.setup(log_level.upper())
    ctx.obj = config


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    log.setup()  # before anything can go wrong: the default handler would print messages whole
    try:
        onggi(standalone_mode=False)
    except OnggiError as error:
        click.echo(f"onggi: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("onggi: interrupted", err=True)
        sys.exit(EXIT_FAILED)
    except Exception:
        # The outermost edge: Python's own report would print the message, which may quote data.
        _logger.exception("unforeseen error")
        click.echo("onggi: an unforeseen error; the log line above has its place.", err=True)
        sys.exit(EXIT_FAILED)
