"""One card of the report for each task."""

from typing import Any

from agent.assays.report_plot import histogram, shares
from agent.page.markup import Html, counted, join, tag

Task = dict[str, Any]

_GROUPS = {
    "A": "Absorption",
    "D": "Distribution",
    "M": "Metabolism",
    "E": "Excretion",
    "T": "Toxicity",
    "P": "Physical chemistry",
}


def task_card(task: Task) -> Html:
    """Draws what `report_tasks.task_reports` says of one task."""
    met = task["quorum"]["met"]
    state = tag("span", "✓ quorum" if met else "waits", class_=f"state {'good' if met else 'wait'}")
    kind = f"{_GROUPS[task['group']]} · {'shared' if task['shared'] else 'private'}"
    return tag(
        "article",
        tag("header", tag("h3", task["name"]), state),
        tag("p", tag("code", task["task"]), f" · {kind}{_unit(task)}", class_="soft"),
        _plot(task),
        _facts(task),
        *([_details(task)] if "details" in task else []),
        class_="card",
    )


def _unit(task: Task) -> str:
    unit = f" · {task['unit']}" if task["unit"] else ""
    scale = task["histogram"]["scale"] if task["histogram"] else ""
    return unit + (f", drawn as {scale}" if scale and scale != task["unit"] else "")


def _plot(task: Task) -> Html:
    if task["kind"] == "regression" and not task["histogram"]:
        return Html()
    if task["histogram"]:
        return histogram(task["histogram"], f"Distribution of {task['name']}")
    classes = task["classes"]
    parts = [("used", "positive", classes["positive"]), ("blank", "negative", classes["negative"])]
    return shares(parts, f"Classes of {task['name']}")


def _facts(task: Task) -> Html:
    facts = [
        ("compounds", f"{task['compounds']:,} ({counted(task['measurements'], 'measurement')})"),
        ("missing", task["quorum"]["missing"]),
        ("classes", _classes(task)),
        ("not decided", _conflicts(task)),
        ("censored", _censored(task)),
        ("limits", _limits(task)),
        ("replicates", _noise(task)),
        ("units met", ", ".join(f"{u or 'none'} ({n:,})" for u, n in task["units"].items())),
        ("dates", _dates(task)),
        ("stores", ", ".join(f"{store} ({n:,})" for store, n in task["stores"].items())),
    ]
    return tag("dl", *[join(tag("dt", name), tag("dd", said)) for name, said in facts if said])


def _classes(task: Task) -> str:
    if not task["classes"]:
        return ""
    classes = task["classes"]
    said = f"{classes['positive']:,} positive, {classes['negative']:,} negative"
    return said + (f", {classes['undecided']:,} undecided" if classes["undecided"] else "")


def _censored(task: Task) -> str:
    if not task["censored"]:
        return ""
    below, above = task["censored"]["below"], task["censored"]["above"]
    if not below + above:
        return "none"
    share = (below + above) / task["measurements"]
    parts = [f"{n:,} “{sign}”" for n, sign in ((below, "<"), (above, ">")) if n]
    return f"{', '.join(parts)} ({share:.0%})"


def _limits(task: Task) -> str:
    """Says which limits count as censored; those that are only proposed wait for a person."""
    said = [limit_text(limit) for limit in task["limits"] if limit["decided"]]
    return f"decided: {'; '.join(said)}" if said else ""


def limit_text(limit: Task) -> str:
    """Says how many of a store's values lie at a limit, and where if that may be shown."""
    at = "the lower limit" if limit["side"] == "floor" else "the upper limit"
    if limit["numbers"] > 1:
        at = f"{limit['numbers']} {'lower' if limit['side'] == 'floor' else 'upper'} limits"
    values = ", ".join(f"{value:.4g}" for value in limit.get("values", ()))
    shown = f" ({values})" if values else ""
    return f"{limit['count']:,} of {limit['of']:,} values from {limit['store']} at {at}{shown}"


def _conflicts(task: Task) -> str:
    return (
        f"{counted(task['conflicts'], 'compound')}: replicates differ" if task["conflicts"] else ""
    )


def _noise(task: Task) -> str:
    noise = task["noise"]
    if not noise or not noise["replicated"]:
        return ""
    said = f"SD {noise['pooled_sd']:.2g} over {counted(noise['replicated'], 'compound')}"
    if noise["limit"] is None:
        return said
    more = "more than" if noise["noisy"] else "within"
    return f"{said}, {more} {noise['limit']:g}; {noise['over_limit']:,} beyond it"


def _dates(task: Task) -> str:
    dates = task["dates"]
    if not dates["first"]:
        return ""
    undated = f", {dates['undated']:,} undated" if dates["undated"] else ""
    return f"{dates['first']} to {dates['last']}{undated}"


def _details(task: Task) -> Html:
    details = task["details"]
    unit = f" {task['unit']}" if task["unit"] else ""
    said = [f"{name} {details[name]:.4g}{unit}" for name in ("min", "median", "max")]
    rows = [
        tag(
            "tr",
            tag("td", entry["compound_id"]),
            tag("td", tag("code", entry["smiles"])),
            tag("td", f"{entry['qualifier'].replace('=', '')}{entry['native']:.4g}", class_="n"),
        )
        for entry in details["examples"]
    ]
    return join(tag("p", tag("small", ", ".join(said))), tag("table", tag("tbody", *rows)))
