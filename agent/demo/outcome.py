"""What came out, asked from each party's own commands; nothing is computed here."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.demo.parties import ask, insist
from agent.demo.silos import Silo
from agent.errors import OnggiError

PRIVATE = "private:"
EXAMPLE = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"  # caffeine


def collect(silos: Sequence[Silo], consortium: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Returns the demo's figures as its `--json` file has them.

    Raises:
        OnggiError: A party's command failed, or what the courier carried
            is not what an egress log let out.
    """
    rows: list[dict[str, Any]] = []
    set_aside: list[dict[str, Any]] = []
    sent: dict[str, int] = {}
    for silo in silos:
        status = _agent(silo, "status", "--json")
        sent[silo.name] = status["egress"]["bytes"]
        rows += [{"silo": silo.name, **row} for row in _rows(status)]
        for file in _agent(silo, "ingest", "--report", "--json")["files"]:
            where = {"silo": silo.name, "file": file["file"]}
            set_aside += [{**where, **row} for row in file["set_aside"]]
            if file["state"] == "refused":
                set_aside.append({**where, "row": 0, "code": "file", "reason": file["why"]})
        _agent(silo, "egress", "--verify", "--json")
        _agent(silo, "egress", "reconcile", "--json")
    rounds = [r for r in consortium["rounds"] if r["state"] == "aggregated"]
    return {
        "rows": rows,
        "bytes_sent": sent,
        "set_aside": set_aside,
        "rounds": len(rounds),
        "counted": [len(r["counted"]) for r in rounds],
        "seconds": round(seconds, 1),
    }


def _agent(silo: Silo, *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(ask("agent", "--config", str(silo.config), *arguments))
    return answer


def _rows(status: dict[str, Any]) -> list[dict[str, Any]]:
    active = [model for model in status["models"] if model["state"] == "active"]
    if not active:
        raise OnggiError(f"Silo {status['silo']} has no active release; see `onggi status`.")
    return [
        {
            "endpoint": row["task"],
            "n_train": row["n_train"],
            "n_test": row["n_test"],
            "metric": row["metric"],
            "local": row["local"],
            "federated": row["federated"],
        }
        for row in active[-1]["tasks"]
    ]


def show(
    console: Console,
    outcome: dict[str, Any],
    silos: Sequence[Silo],
    revive: Callable[[], None],
) -> None:
    """Prints the figures, and a prediction fetched over HTTP.

    Args:
        console: Where to print.
        outcome: What `collect` returned.
        silos: The silos, still running.
        revive: Starts again who has just died.

    Raises:
        OnggiError: The endpoint does not answer.
    """
    console.print(_error_table(outcome))
    console.print(
        "Error on the same held-out compounds, smaller is better: MAE on the model scale (log "
        "units, or kcal/mol), 1-AUROC for a class. One held-out fold is noisy: a row may be off by "
        "a tenth or more.\n* private: no other silo knows it, and its head never leaves.\n",
        style="dim",
    )
    _show_set_aside(console, outcome["set_aside"])
    _show_egress(console, outcome["bytes_sent"])
    _show_prediction(console, silos[-1], revive)
    console.print(f"\n{outcome['rounds']} rounds in {outcome['seconds']:.0f} s.\n", highlight=False)


def show_ways_on(console: Console, silos: Sequence[Silo], *, kept: bool) -> None:
    """Prints where to look further.

    Args:
        console: Where to print.
        silos: The silos.
        kept: Their folders will be there afterwards, so that it helps to name them.
    """
    if not kept:
        console.print(
            "All of it is removed now; `onggi demo --folder DIR --keep` leaves it for a look.",
            style="dim",
        )
        return
    console.print("Look further, for each silo:")
    for silo in silos:
        console.print(
            f"  onggi --config {silo.config} status | egress | ingest --report"
            f"     http://127.0.0.1:{silo.port}/v1/predict",
            soft_wrap=True,
            highlight=False,
        )


def _show_egress(console: Console, sent: dict[str, int]) -> None:
    each = ", ".join(f"{silo} {count / 1e6:.1f} MB" for silo, count in sent.items())
    console.print(
        f"\nLeft the silos, sealed, by their verified egress ledgers: {each}.",
        highlight=False,
    )


def _error_table(outcome: dict[str, Any]) -> Table:
    table = Table(title="What each silo gained", title_justify="left", box=None, pad_edge=False)
    for heading in ("silo", "endpoint", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("train", "test", "local", "federated", "change"):
        table.add_column(heading, justify="right")
    last = ""
    for row in outcome["rows"]:
        local, federated = row["local"], row["federated"]
        change = ""
        if local and federated is not None:
            relative = federated / local - 1
            change = f"[{'green' if relative < 0 else 'red'}]{relative:+.0%}[/]"
        errors = ["–" if error is None else f"{error:.3f}" for error in (local, federated)]
        counts = (str(row["n_train"]), str(row["n_test"]))
        silo = row["silo"] if row["silo"] != last else ""
        own = row["endpoint"].startswith(PRIVATE)
        name = row["endpoint"].removeprefix(PRIVATE) + (" *" if own else "")
        table.add_row(silo, name, row["metric"], *counts, *errors, change)
        last = row["silo"]
    return table


def _show_set_aside(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        console.print("Every row was used.")
        return
    counts = Counter((row["silo"], row["code"]) for row in rows)
    table = Table(
        title=f"Set aside: {len(rows)} rows", title_justify="left", box=None, pad_edge=False
    )
    for heading in ("silo", "rows", "why, and the first of them"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    for (silo, code), count in sorted(counts.items()):
        first = next(row for row in rows if (row["silo"], row["code"]) == (silo, code))
        place = f"{first['file']} row {first['row']}"
        table.add_row(silo, str(count), f"{first['reason']} [dim]{place}[/]")
    console.print(table)


def _show_prediction(console: Console, silo: Silo, revive: Callable[[], None]) -> None:
    answer = insist(f"http://127.0.0.1:{silo.port}/v1/predict", {"smiles": EXAMPLE}, revive)
    if answer is None:
        raise OnggiError(f"{silo.name}'s endpoint does not answer; see {silo.folder}/onggi.log.")
    values = ", ".join(
        f"{task} {entry['value']:.3g} {entry.get('unit') or ''}".rstrip()
        for task, entry in answer["results"][0]["predictions"].items()
    )
    console.print(f"Caffeine, asked from {silo.name}'s endpoint: {values}.", highlight=False)
