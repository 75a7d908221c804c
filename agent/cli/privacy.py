"""`onggi privacy`: what was spent of the site's privacy budget, on what, and what is left."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.ledger.book import Ledger
from agent.privacy.account import Budget, Chain, Entry, read_chain


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def privacy(context: click.Context, as_json: bool) -> None:
    """Show what training with noise has spent, on what, and what is left of the budget.

    What was reserved is spent, whether an update came of it or not.
    """
    if context.invoked_subcommand is None:
        _show(context.obj, as_json)


@privacy.command("noise")
@click.option("--epsilon", type=click.FloatRange(0, 1000, min_open=True), required=True)
@click.option(
    "--delta", type=click.FloatRange(0, 1e-4, min_open=True), default=1e-5, show_default=True
)
@click.option(
    "--rate",
    type=click.FloatRange(1e-4, 1),
    required=True,
    help="With which probability a step samples a compound.",
)
@click.option("--rounds", type=click.IntRange(1, 500), required=True, help="Of the plan.")
@JSON
def least_noise(epsilon: float, delta: float, rate: float, rounds: int, as_json: bool) -> None:
    """Say the least noise with which a plan of mode `shared_noise` keeps to an epsilon.

    It is what `privacy.noise` of the draft must be, in clips, and takes no configuration.
    """
    from agent.privacy.accounting import calibrate

    found = calibrate(epsilon, delta, rate, rounds)
    if as_json:
        click.echo(json.dumps({"noise": found}))
        return
    click.echo(f"noise = {found:g}")


def _show(config_path: Path, as_json: bool) -> None:
    from agent.keeper.paying import budget_of
    from agent.keeper.site import Site

    paths = Paths(load(config_path).site.state)
    witness = Site.privacy_head_in(paths.models)
    with Ledger(paths.ledger, read_only=True) as ledger:
        chain, budget = read_chain(ledger, witness), budget_of(ledger)
    report = _report(chain, budget)
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    console = Console()
    if report["charges"]:
        console.print(_table(report["charges"]))
    console.print(
        f"Spent: epsilon {report['spent']:.3g} of {budget.epsilon:g} at delta {budget.delta:g}; "
        f"left: {report['left']:.3g}. By the looser Renyi accounting it would be "
        f"{report['spent_by_moments']:.3g}.",
        soft_wrap=True,
    )
    if any(row["shared"] for row in report["charges"]):
        console.print(
            "Noise marked with * is what t silos of a masked sum have together (t = ⌊2n / 3⌋ + 1, "
            "n having begun it): its ε holds as long as so many of them add their share.",
            soft_wrap=True,
        )
    console.print(f"The chain of {len(chain.entries)} link(s) is whole; its head is {chain.head}.")


def _report(chain: Chain, budget: Budget) -> dict[str, Any]:
    from agent.privacy.accounting import epsilon_by_moments

    spent = chain.spent(budget.delta)
    runs = [charge.mechanism() for charge in chain.reserved()]
    return {
        "charges": [_row(chain, entry) for entry in chain.entries if entry.what == "reserved"],
        "budget": budget.epsilon,
        "delta": budget.delta,
        "spent": spent,
        "spent_by_moments": epsilon_by_moments(runs, budget.delta) if runs else 0.0,
        "left": max(budget.epsilon - spent, 0.0),
        "links": len(chain.entries),
        "head": chain.head,
    }


def _row(chain: Chain, entry: Entry) -> dict[str, Any]:
    committed = chain.entry("committed", entry.charge.id)
    return {
        **entry.charge.model_dump(),
        "reserved": entry.at,
        "committed": committed.at if committed else None,
        "epsilon_after": entry.epsilon_after,
        "delta": entry.delta,
    }


def _table(charges: list[dict[str, Any]]) -> Table:
    title = "Spent on training with noise"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("when (UTC)", "plan", "round", "noise", "rate", "steps", "sealed", "ε after"):
        right = heading in {"noise", "rate", "steps", "ε after"}
        table.add_column(heading, justify="right" if right else "left")
    for row in charges:
        when, sealed = str(row["reserved"])[:16].replace("T", " "), row["committed"]
        noise = f"{row['noise']:g}" + ("*" if row["shared"] else "")
        cells = (when, row["family"], row["id"], noise, f"{row['rate']:g}")
        told = "yes" if sealed else "no, and spent"
        table.add_row(*map(escape, cells), str(row["steps"]), told, f"{row['epsilon_after']:.3g}")
    return table
