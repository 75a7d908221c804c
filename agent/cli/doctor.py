"""`onggi doctor`: a table for a person, JSON for monitoring, and an exit code."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.credentials import CREDENTIALS, ring_of
from agent.cli.setup import JSON
from agent.clock import now
from agent.config import Config, load
from agent.doctor.finding import Finding
from agent.errors import EXIT_FAILED, Stop

_SIGNS = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "not here": "-"}
Findings = dict[str, list[Finding]]


@click.command()
@click.option("--service", default="", help="Do the checks of this service, in this very process.")
@JSON
@CREDENTIALS
@click.pass_obj
def doctor(config_path: Path, service: str, as_json: bool, credentials: Path | None) -> None:
    """Try what must not work and what must, within the walls of each service.

    As root on a host with systemd, each installed unit is tried within its own walls. Elsewhere
    only the host is looked at.
    """
    config = load(config_path)
    found = _one(config_path, service, credentials) if service else _all(config, config_path)
    if as_json:
        services = {name: [asdict(one) for one in some] for name, some in found.items()}
        click.echo(json.dumps({"services": services, "ok": not _failures(found)}))
    else:
        _print(Console(), found)
    if _failures(found):
        raise SystemExit(EXIT_FAILED)  # not `ctx.exit`: outside standalone mode it ends nothing


def _failures(found: Findings) -> int:
    return sum(one.outcome == "failed" for some in found.values() for one in some)


def _one(config_path: Path, service: str, credentials: Path | None) -> Findings:
    from agent.doctor.services import SERVICES, examine

    name, _, store = service.partition("@")
    if name not in SERVICES or (name == "reader") != bool(store):
        raise Stop(f"No service is named {service}: {', '.join(SERVICES[:-1])} or reader@STORE.")
    ring = ring_of(name, config_path, credentials)
    return {service: examine(name, load(config_path), now, store=store, ring=ring)}


def _all(config: Config, config_path: Path) -> Findings:
    from agent.doctor import sandbox
    from agent.doctor.services import examine

    found = {"host": examine("", config, now)}
    if not sandbox.can_run() or os.geteuid() != 0:
        return found
    readers = [f"reader@{store.name}" for store in config.store if store.kind == "database"]
    for service in ("keeper", "courier", "predict", *readers):
        arguments = f"--config {config_path} doctor --json --service {service}"
        found[service] = sandbox.run(f"onggi-{service}", arguments)
    return found


def _print(console: Console, found: Findings) -> None:
    for service, some in found.items():
        table = Table(
            title=service, title_justify="left", box=None, pad_edge=False, show_header=False
        )
        for one in some:
            table.add_row(_SIGNS[one.outcome], one.name, escape(one.said))
        console.print(table)
    if list(found) == ["host"]:
        console.print("The walls were not tried: run it as root where systemd runs the units.")
    count = _failures(found)
    console.print(f"[red]{count} checks failed.[/]" if count else "[green]No check failed.[/]")
