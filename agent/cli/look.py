"""`onggi status`: looks at a silo without changing it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.keys import trust_alarms
from agent.cli.releases import print_findings
from agent.cli.setup import JSON
from agent.clock import from_text, now
from agent.config import Paths, load
from agent.ledger.book import Ledger

_HASH_CHARS = 32
_REFUSED_SHOWN = 5
_SILENT_S = 90.0  # three of the slowest heartbeat, the keeper's
_SIGNS = {"wrong": "[red]✗[/]", "waits": "[yellow]…[/]", "well": "[green]✓[/]"}


@click.command()
@JSON
@click.pass_obj
def status(config_path: Path, as_json: bool) -> None:
    """Show for each stage what it last did, what waits, and what is wrong."""
    from agent.keeper import status as keeper_status
    from agent.keeper.assemble import read_enrolment

    config = load(config_path)
    paths = Paths(config.site.state)
    silo = read_enrolment(paths).silo
    with Ledger(paths.ledger, read_only=True) as ledger:
        report: dict[str, Any] = keeper_status.report(ledger, silo, config.gate.let_pass)
    report["alarms"] = trust_alarms(paths, now())
    report["keeper"] = _file(paths.status / "keeper.json")
    report["job"] = ((report["keeper"] or {}).pop("status", None) or {}).get("job")
    report["courier"] = _file(paths.courier / "status.json")
    report["predict"] = _file(paths.predict / "status.json")
    report["services"] = _services(report, now())
    report["heads"] = keeper_status.heads(paths.releases)
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        _print(report)


def _file(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content


def _print(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=f"Silo {report['silo']}", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "stage", "now", "last change (UTC)"):
        table.add_column(heading)
    for name, stage in report["stages"].items():
        state = "wrong" if stage["wrong"] else "waits" if stage["waits"] else "well"
        counts = ", ".join(f"{count} {word}" for word, count in stage["counts"].items())
        table.add_row(_SIGNS[state], name, counts or "–", _last(stage["last"]))
    console.print(table)
    for name, stage in report["stages"].items():
        _print_lines(console, "wrong", name, stage["wrong"])
        _print_lines(console, "waits", name, stage["waits"])
    _print_freshness(console, report["releases_fresh_until"])
    _print_policy(console, report["policy"])
    _print_tasks(console, report["tasks"])
    _print_services(console, report)
    for alarm in report["alarms"]:
        console.print(f"{_SIGNS['wrong']} trust: {escape(alarm)}", soft_wrap=True, highlight=False)
    _print_models(console, report)
    _print_heads(console, report["heads"])
    _print_refused(console, report["releases"])


def _print_refused(console: Console, releases: list[dict[str, Any]]) -> None:
    refused = [one for one in releases if one["reason"] is not None][-_REFUSED_SHOWN:]
    if refused:
        console.print("Releases that do not serve; `onggi releases` has all:")
    for one in refused:
        print_findings(console, one)


def _last(change: dict[str, str] | None) -> str:
    if change is None:
        return ""
    return (
        f"{change['at'][5:19].replace('T', ' ')}  {escape(_short(change['id']))} {change['state']}"
    )


def _short(item_id: str) -> str:
    # Hashes are cut; names that people gave are shown whole.
    words = [word[:12] if len(word) >= _HASH_CHARS else word for word in item_id.split("-")]
    return "-".join(words)


def _print_lines(console: Console, state: str, stage: str, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        why = line["why"] or f"is {line['state']} since {line['since'][5:19].replace('T', ' ')}"
        text = f"{_SIGNS[state]} {stage}: [bold]{escape(_short(line['id']))}[/] {escape(why)}"
        console.print(text, soft_wrap=True, highlight=False)


def _print_freshness(console: Console, until: str) -> None:
    if until and from_text(until) <= now():
        text = (
            f"releases: nothing newer was heard than what held until {until[:16]}; is the way open?"
        )
        console.print(f"{_SIGNS['wrong']} {text}", soft_wrap=True, highlight=False)


def _print_policy(console: Console, policy: dict[str, Any]) -> None:
    if policy["sha256"]:
        who = policy["signer"] or policy["officer"][:12]
        text = (
            f"Policy: {policy['state']}. Version {policy['version']} ({policy['sha256'][:12]}) was "
            f"signed off by {escape(who)} at {policy['signed'][:19]}."
        )
    elif policy["state"] == "default":
        text = "Policy: none is signed off; the default one allows what a plan asks."
    else:
        text = f"Policy: {policy['state']}, and none was signed off before."
    console.print(text, soft_wrap=True, highlight=False)


def _print_tasks(console: Console, tasks: list[dict[str, Any]]) -> None:
    for task in tasks:
        said = [task["waits"]] if task["waits"] else []
        said += ["its replicates disagree by more than the catalogue allows"] * task["noisy"]
        said += ["its labels moved since the last snapshot"] * task["drifted"]
        if said:
            text = f"{_SIGNS['waits']} task: [bold]{task['task']}[/] {'; '.join(said)}"
            console.print(text, soft_wrap=True, highlight=False)


def _print_services(console: Console, report: dict[str, Any]) -> None:
    m, egress = report["measurements"], report["egress"]
    console.print(
        f"Measurements: {m['read']} read = {m['used']} used + {m['set_aside']} set aside + "
        f"{m['blank']} blank.  Sealed to leave: {egress['bytes']:,} bytes in {egress['envelopes']} "
        "envelope(s)."
    )
    for name, service in report["services"].items():
        sign = _SIGNS["well" if service["alive"] else "wrong"]
        console.print(f"{sign} {name}: {service['says']}", soft_wrap=True, highlight=False)


def _services(report: dict[str, Any], at: datetime) -> dict[str, dict[str, Any]]:
    """Says of each service whether it lives, by the age of what it last wrote, and how it is."""
    keeper, courier, predict = report["keeper"], report["courier"], report["predict"]
    job = (report["job"] or {}).get("id")
    served = (predict or {}).get("release") or "no release yet"
    faults = [courier.get(way) for way in ("up_error", "down_error")] if courier else []
    address = f"http://{predict['host']}:{predict['port']}" if predict else ""
    return {
        "keeper": _service((keeper or {}).get("at"), f"works on {job}" if job else "waits", at),
        "courier": _by_hand(courier, at)
        or _service(
            (courier or {}).get("updated"),
            next((fault for fault in faults if fault), "reaches the aggregator"),
            at,
        ),
        "predict": _service((predict or {}).get("time"), f"{address} serves {served}", at),
    }


def _by_hand(courier: dict[str, Any] | None, at: datetime) -> dict[str, Any] | None:
    """Says when a person carried last; None where a courier does."""
    if not courier or not courier.get("by_hand"):
        return None
    try:
        age_s = (at - from_text(courier["updated"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
    return {"alive": True, "says": f"is a person: carried {_age(age_s)} ago"}


def _service(written: str | None, says: str, at: datetime) -> dict[str, Any]:
    if not written:
        return {"alive": False, "says": "has not run yet; start it with `onggi run` or systemd"}
    try:
        age_s = (at - from_text(written)).total_seconds()
    except ValueError:
        return {"alive": False, "says": "left a damaged status file; start it again"}
    if age_s > _SILENT_S:
        return {"alive": False, "says": f"has been silent for {_age(age_s)}; is it running?"}
    return {"alive": True, "says": says}


def _age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _print_models(console: Console, report: dict[str, Any]) -> None:
    models = [model for model in report["models"] if model["tasks"]]
    if not models:
        return
    newest = models[-1]
    table = Table(
        title=f"Release {newest['id']} ({newest['state']}): error on held-out compounds",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("endpoint", "metric", "train", "test", "local only", "federated"):
        table.add_column(heading, justify="left" if heading in {"endpoint", "metric"} else "right")
    for row in newest["tasks"]:
        errors = ["–" if row[k] is None else f"{row[k]:.3f}" for k in ("local", "federated")]
        table.add_row(row["task"], row["metric"], str(row["n_train"]), str(row["n_test"]), *errors)
    console.print(table)


def _print_heads(console: Console, heads: list[dict[str, Any]]) -> None:
    if heads:
        console.print("Why each head is what it is; `onggi card` has more:")
    for head in heads:
        text = f"  [bold]{escape(head['task'])}[/] {head['choice']}: {escape(head['why'])}"
        console.print(text, soft_wrap=True, highlight=False)
