"""`onggi outbox`: what waits to leave, and a person's word on it."""

import json
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asking import BY, ask_keeper
from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.errors import Refused
from agent.ledger.book import Item, Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from agent.keeper.requests import Action

ID = click.argument("envelope")


@click.group()
def outbox() -> None:
    """What waits to leave this silo; hold, approve or refuse it."""


@outbox.command("list")
@JSON
@click.pass_obj
def list_waiting(config_path: "Path", as_json: bool) -> None:
    """List what is sealed and has no answer yet, the oldest first."""
    with _ledger(config_path) as ledger:
        rows = [_row(item) for item in _waiting(ledger)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        about = f"{row['kind']} {row['about']}".ljust(32)
        click.echo(f"{row['envelope_id'][:12]}  {row['state']:10} {about} {row['why']}".rstrip())
    if not rows:
        click.echo("Nothing waits to leave.")


@outbox.command()
@ID
@JSON
@click.pass_obj
def show(config_path: "Path", envelope: str, as_json: bool) -> None:
    """Show one envelope: what its header says in the open, and every decision about it."""
    from agent.ledger import egress
    from agent.wire.envelope import read_core
    from agent.wire.signed import parse
    from agent.wire.statements import header_of, is_statement
    from agent.wire.strict_json import loads

    with _ledger(config_path) as ledger:
        row = _row(_find(ledger, envelope))
        leaves = egress.of_envelope(ledger, row["envelope_id"])
    row["decisions"] = [
        {"at": one.leaf.at, "decision": one.leaf.decision, "by": one.leaf.by} for one in leaves
    ]
    header = header_of(leaves[-1].leaf) if leaves and leaves[-1].leaf.header else b""
    if header:
        says = parse(header).payload if is_statement(header) else read_core(header)
        row["says"] = loads(says)
    if as_json:
        click.echo(json.dumps(row, indent=1, ensure_ascii=False))
        return
    for name in ("envelope_id", "kind", "about", "state", "why", "bytes"):
        click.echo(f"{name:12} {row[name]}")
    for one in row["decisions"]:
        click.echo(f"{one['at'][:19]}  {one['decision']} by {one['by']}")
    for name, value in row.get("says", {}).items():
        click.echo(f"  {name:18} {value}")


@outbox.command()
@ID
@BY
@click.pass_obj
def hold(config_path: "Path", envelope: str, by: str) -> None:
    """Keep a sealed update back until somebody approves it."""
    _decide(config_path, envelope, "hold", by)


@outbox.command()
@ID
@BY
@click.pass_obj
def approve(config_path: "Path", envelope: str, by: str) -> None:
    """Let a held update leave."""
    _decide(config_path, envelope, "approve", by)


@outbox.command()
@ID
@BY
@click.pass_obj
def refuse(config_path: "Path", envelope: str, by: str) -> None:
    """End a held update: it never leaves."""
    _decide(config_path, envelope, "refuse", by)


def _decide(config_path: "Path", envelope: str, action: "Action", by: str) -> None:
    with _ledger(config_path) as ledger:
        item = _find(ledger, envelope)
    wanted = "sealed" if action == "hold" else "held"
    if item.kind != "update" or item.state != wanted:
        raise Refused(
            "not_waiting",
            f"This {item.kind} is {item.state}; `onggi outbox {action}` is for an update that is "
            f"{wanted}.",
        )
    envelope_id = _id(item)
    ask_keeper(Paths(load(config_path).site.state), action, envelope_id, by)
    with _ledger(config_path) as ledger:
        after = _find(ledger, envelope_id)
    if after.state == item.state:
        raise Refused(
            "not_done", "The keeper could not do it; its log says why (`request refused`)."
        )
    click.echo(f"Envelope {envelope_id[:12]} is {after.state}.")


def _ledger(config_path: "Path") -> Ledger:
    return Ledger(Paths(load(config_path).site.state).ledger, read_only=True)


def _waiting(ledger: Ledger) -> list[Item]:
    updates = ledger.find("update", "sealed", "held", "delivered")
    return sorted([*updates, *ledger.find("statement", "signed")], key=lambda one: one.created)


def _id(item: Item) -> str:
    return item.id if item.kind == "statement" else str(item.detail["envelope_id"])


def _find(ledger: Ledger, start: str) -> Item:
    every = [*ledger.find("update"), *ledger.find("statement")]
    found = [item for item in every if start and _id(item).startswith(start)]
    if len(found) != 1:
        code, what = ("unknown_envelope", "No") if not found else ("ambiguous_id", "More than one")
        raise Refused(code, f"{what} envelope's id begins with {start!r}; see `onggi outbox list`.")
    return found[0]


def _row(item: Item) -> dict[str, Any]:
    update = item.kind == "update"
    return {
        "envelope_id": _id(item),
        "kind": "update" if update else item.detail["kind"],
        "about": item.id if update else item.detail["about"],
        "state": item.state,
        "why": item.why,
        "bytes": item.detail.get("bytes", 0),
        "since": item.changed,
    }
