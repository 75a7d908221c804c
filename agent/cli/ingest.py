"""`onggi ingest`: tries a file, drops it into a store, or reports on all files read so far."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.errors import Stop

_SHOWN = 20


@click.command()
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--store", "store_name", default="", help="Read FILE as this configured store does.")
@click.option("--drop", is_flag=True, help="Also put FILE into the store's watched folder.")
@click.option("--report", is_flag=True, help="List every file read so far, and what was set aside.")
@JSON
@click.pass_obj
def ingest(
    config_path: Path, file: Path | None, store_name: str, drop: bool, report: bool, as_json: bool
) -> None:
    """Try FILE: what would be used, what would be set aside and why. Nothing is kept.

    With --drop the file also goes into the store's folder, where the keeper takes it in.
    """
    if report:
        _report(Paths(load(config_path).site.state), as_json=as_json)
    elif file is None:
        raise click.UsageError("Name a FILE to try, or ask for --report.")
    else:
        _try(config_path, file, store_name, drop=drop, as_json=as_json)


def _try(config_path: Path, file: Path, store_name: str, *, drop: bool, as_json: bool) -> None:
    from agent.keeper.trial import drop_into, try_file

    config = load(config_path)
    stores = [s for s in config.store if s.kind != "database" and store_name in {"", s.name}]
    if len(stores) != 1:
        names = ", ".join(store.name for store in stores) or "none that fits"
        raise Stop(f"Say with --store how to read {file.name}; configured: {names}.")
    account = try_file(config, stores[0], file)
    if drop:
        account["dropped"] = str(drop_into(stores[0], file))
    if as_json:
        click.echo(json.dumps(account, indent=1, ensure_ascii=False))
    else:
        _print_account(Console(), file.name, account)


def _print_account(console: Console, name: str, account: dict[str, Any]) -> None:
    console.print(
        f"[bold]{escape(name)}[/]: {account['read']} read = {account['used']} used + "
        f"{len(account['set_aside'])} set aside + {account['blank']} blank"
    )
    for task, counts in account["tasks"].items():
        console.print(f"  {task}: {counts['n']} ({counts['censored']} censored)")
    _print_set_aside(console, account["set_aside"])
    if account.get("dropped"):
        console.print(f"Dropped into {escape(account['dropped'])}; `onggi status` follows it.")


def _print_set_aside(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table(show_header=True)
    for heading in ("row", "sheet", "column", "reason"):
        table.add_column(heading, justify="right" if heading == "row" else "left")
    for row in rows[:_SHOWN]:
        table.add_row(*(escape(str(row[n])) for n in ("row", "sheet", "column", "reason")))
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"… and {len(rows) - _SHOWN} more; --json lists all.")


def _report(paths: Paths, *, as_json: bool) -> None:
    from agent.keeper.trial import file_accounts
    from agent.ledger.book import Ledger

    with Ledger(paths.ledger, read_only=True) as ledger:
        accounts = file_accounts(ledger, paths.parts)
    if as_json:
        click.echo(json.dumps({"files": accounts}, indent=1, ensure_ascii=False))
        return
    console = Console()
    for account in accounts:
        if account["state"] == "refused":
            name, why = escape(account["file"]), escape(account["why"])
            console.print(f"[red]✗[/] [bold]{name}[/]: {why}", soft_wrap=True)
            continue
        counts = " + ".join(f"{account[k]} {k.replace('_', ' ')}" for k in ("used", "blank"))
        console.print(
            f"[bold]{escape(account['file'])}[/] ({account['state']}): "
            f"{account['read']} read = {counts} + "
            f"{len(account['set_aside'])} set aside"
        )
        _print_set_aside(console, account["set_aside"])
