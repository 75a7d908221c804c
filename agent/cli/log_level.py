"""`onggi log-level`: how much the services log, changed while they run."""

import subprocess
from shutil import which

import click

from agent.errors import Stop, TryLater

# As `agent.log.follow_signals` takes them.
_SIGNALS = {"debug": "USR1", "info": "USR2"}
_RUNNING = ("list-units", "--plain", "--no-legend", "--state=active", "onggi-*.service")


@click.command()
@click.argument("level", type=click.Choice(list(_SIGNALS), case_sensitive=False))
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="keeper, courier, predict or reader@STORE; may be given again. Without it: all that run.",
)
def log_level(level: str, services: tuple[str, ...]) -> None:
    """Let running services log more (debug) or as usual (info), until they start anew.

    Run it as root. No service is restarted, and no job of a worker ends.
    """
    units = [f"onggi-{name}.service" for name in services] or _running()
    if not units:
        raise TryLater("No service of Onggi runs; start one, then say it again.")
    # To the main process alone: a worker has no use for the signal, and would end of it. From
    # systemd 252 on the option is --kill-whom, which may be cut short to its former name.
    _systemctl("kill", "--kill-who=main", f"--signal=SIG{_SIGNALS[level]}", *units)
    for unit in units:
        click.echo(f"{unit.removesuffix('.service')} logs {level}.")


def _running() -> list[str]:
    return [line.split()[0] for line in _systemctl(*_RUNNING).splitlines() if line.strip()]


def _systemctl(*words: str) -> str:
    program = which("systemctl")
    if program is None:
        raise Stop("systemd does not run here; start the service with `onggi --log-level debug`.")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"exit {done.returncode}"
        raise Stop(f"systemctl did not do it ({said}); run it as root, for services that run.")
    return done.stdout
