"""`onggi ingest`: tries a file, drops it into a store, or reports on all files read so far."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import Config, Paths, Store, TrainingSection, load
from agent.errors import Stop

if TYPE_CHECKING:
    from agent.keeper.trial import Way
    from agent.wire.documents import Catalogue

_SHOWN = 20


class _How(TypedDict):
    """The options that say how a file is read, and whether it stays."""

    store_name: str
    profile: Path | None
    kind: Literal["kmelloddy", "table", "sdf"] | None
    catalogue: Path | None
    drop: bool


@click.command()
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--store", "store_name", default="", help="Read FILE as this configured store does.")
@click.option(
    "--profile",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read FILE by this profile.",
)
@click.option(
    "--kind",
    type=click.Choice(["kmelloddy", "table", "sdf"]),
    help="With --profile: the kind of store; table otherwise.",
)
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Endpoints as JSON; else those of this silo's consortium.",
)
@click.option("--drop", is_flag=True, help="Also put FILE into the store's watched folder.")
@click.option("--report", is_flag=True, help="List every file read so far, and what was set aside.")
@JSON
@click.pass_obj
def ingest(
    config_path: Path, file: Path | None, *, report: bool, as_json: bool, **how: Unpack[_How]
) -> None:
    """Try FILE: what would be used, what would be set aside and why. Nothing is kept.

    A file in the K-MELLODDY standard format needs neither --store nor --profile. With --drop the
    file also goes into the store's folder, where the keeper takes it in.
    """
    _check(how)
    if report:
        _report(Paths(load(config_path).site.state), as_json=as_json)
    elif file is None:
        raise click.UsageError("Name a FILE to try, or ask for --report.")
    else:
        _try(config_path, file, how, as_json=as_json)


def _check(how: _How) -> None:
    if (how["profile"] or how["kind"]) and (how["store_name"] or how["drop"]):
        raise click.UsageError("A store has its own profile: give --profile or a store, not both.")
    if how["kind"] in {"table", "sdf"} and not how["profile"]:
        raise click.UsageError(f"--kind {how['kind']} needs a --profile.")


def _try(config_path: Path, file: Path, how: _How, *, as_json: bool) -> None:
    from agent.keeper.assemble import private_endpoints
    from agent.keeper.trial import drop_into, try_file, way_of

    config, catalogue = _silo(config_path, how)
    store = _store(config, file, how)
    way = way_of(store) if store else _way(how)
    own = private_endpoints(config) if config else ()
    section = config.training if config else TrainingSection()
    account = try_file(file, way, catalogue, own, section)
    if store and how["drop"]:
        account["dropped"] = str(drop_into(store, file))
    if as_json:
        click.echo(json.dumps(account, indent=1, ensure_ascii=False))
    else:
        _print_account(Console(), file.name, account)


def _silo(config_path: Path, how: _How) -> tuple[Config | None, "Catalogue"]:
    """Returns the configuration and the endpoints; who names a catalogue needs no silo."""
    from agent.keeper.trial import current_catalogue, named_catalogue

    if how["catalogue"]:
        needed = how["store_name"] or how["drop"] or os.access(config_path, os.R_OK)
        return load(config_path) if needed else None, named_catalogue(how["catalogue"])
    try:
        config = load(config_path)
        return config, current_catalogue(Paths(config.site.state))
    except Stop as error:
        raise Stop(f"{error} Without a silo, name the endpoints with --catalogue.") from error


def _store(config: Config | None, file: Path, how: _How) -> Store | None:
    """Returns the store as which a file is read, or `None` where it is read by itself.

    Raises:
        Stop: Neither a store nor a profile says how, and the file does not say it either.
    """
    from agent.stores.readers import is_standard

    if how["profile"] or how["kind"]:
        return None
    if not (how["store_name"] or how["drop"]) and is_standard(file):
        return None
    stores = [s for s in config.store if s.kind != "database"] if config else []
    found = [s for s in stores if how["store_name"] in {"", s.name}]
    if len(found) != 1:
        names = ", ".join(store.name for store in stores) or "none"
        raise Stop(
            f"Say with --store how to read {file.name} (configured: {names}), or with --profile; "
            f"`onggi profile suggest` drafts one."
        )
    return found[0]


def _way(how: _How) -> "Way":
    from agent.keeper.trial import Way

    kind = how["kind"] or ("table" if how["profile"] else "kmelloddy")
    return Way(kind, how["profile"])


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
