"""The report as one HTML page to send."""

from collections.abc import Iterable, Sequence
from typing import Any

from agent.assays.report_cards import limit_text, task_card
from agent.assays.report_plot import shares
from agent.page import shell
from agent.page.markup import Html, counted, join, tag
from agent.page.shell import table

Report = dict[str, Any]

_MOST_FILES = 200
_FATES = (
    ("replaced", "were replaced by a later row"),
    ("retracted", "were retracted"),
    ("withdrawn", "were withdrawn by a later row that is empty or could not be used"),
)
_PARTS = (("used", "used"), ("aside", "set_aside"), ("blank", "blank"))


def page(report: Report) -> bytes:
    """Returns the page, in UTF-8.

    Args:
        report: What `report.build_report` returned.
    """
    title = "Ingest report" + (f" of {report['silo']}" if report["silo"] else "")
    return shell.page(title, _sections(report, title))


def _sections(report: Report, title: str) -> Iterable[Html]:
    yield _summary(report, title)
    yield _unlock(report)
    yield _tasks(report["tasks"])
    yield _set_aside(report["reasons"])
    yield _sources(report["sources"], report["files"])
    yield _duplicates(report["duplicates"])
    yield _foot(report)


def _summary(report: Report, title: str) -> Html:
    totals = report["totals"]
    figures = (
        (totals["read"], "measurements read"),
        (totals["compounds"], "compounds"),
        (f"{totals['ready']} of {totals['tasks']}", "tasks with quorum"),
        (totals["files"], "files"),
    )
    made = report["made_at"][:16].replace("T", " ")
    shown = "Structures and values are shown" if report["detailed"] else "No structures, no values"
    bar = [(kind, name.replace("_", " "), totals[name]) for kind, name in _PARTS]
    items = [tag("li", tag("b", _number(value)), what) for value, what in figures]
    return join(
        tag("h1", title),
        tag("p", f"Made {made} UTC. {shown}.", class_="soft"),
        tag("ul", *items, class_="figures"),
        shares(bar, "Measurements used, set aside and blank"),
        tag("ul", *[_key(*part, totals["read"]) for part in bar], class_="key"),
        *_since(totals),
    )


def _since(totals: Report) -> Iterable[Html]:
    """Says what later rows did to those that were used."""
    said = [f"{totals[fate]:,} {words}" for fate, words in _FATES if totals[fate]]
    if said:
        now = f"Since they were read {', '.join(said)}; {totals['current']:,} count now."
        yield tag("p", now)


def _key(kind: str, name: str, count: int, total: int) -> Html:
    box = tag("svg", tag("rect", class_=kind, width=10, height=10), viewBox="0 0 10 10")
    share = f" ({count / total:.1%})" if total else ""
    return tag("li", box, f"{count:,} {name}{share}")


def _unlock(report: Report) -> Html:
    """Lists what a person can do, and that nothing needs to be done where that is so."""
    unlock = report["unlock"]
    piles = [
        join(tag("b", task["task"]), f": {limit_text(limit)}")
        for task in report["tasks"]
        for limit in task["limits"]
        if not limit["decided"]
    ]
    noisy = [_noisy(task) for task in report["tasks"] if (task["noise"] or {}).get("noisy")]
    refused = [join(e["file"], tag("div", e["why"], class_="soft")) for e in report["files"]
               if e["state"] == "refused"]  # fmt: skip
    waiting = [join(tag("b", t["task"]), f": {t['missing']}") for t in unlock["waiting"]]
    blocks = (
        ("Tasks that wait for their quorum", waiting),
        (
            "Assays without an endpoint: map them, or declare them private",
            _words(unlock["unmapped"]),
        ),
        ("Units that are not known: correct them", _words(unlock["units"])),
        (
            "Proposed: limits without their qualifier; floor or ceiling in the profile decides",
            piles,
        ),
        ("Replicates that disagree by more than the catalogue allows", noisy),
        ("Files that were refused", refused),
        ("Parts that cannot be read", report["faults"]),
    )
    shown = [
        tag(
            "div", tag("h3", title), tag("ul", *[tag("li", line) for line in lines], class_="plain")
        )
        for title, lines in blocks
        if lines
    ]
    body = tag("div", *shown, class_="pair") if shown else tag("p", "Nothing waits for a person.")
    return tag("section", tag("h2", "What would help"), body)


def _words(words: Sequence[Report]) -> list[Html]:
    lines = []
    for entry in words:
        name = tag("code", entry["word"]) if entry["word"] else Html("others, not shown here")
        lines.append(join(name, f": {counted(entry['rows'], 'measurement')}"))
    return lines


def _noisy(task: Report) -> Html:
    noise = task["noise"]
    said = f": SD {noise['pooled_sd']:.2g}, at most {noise['limit']:g} is expected"
    return join(tag("b", task["task"]), said)


def _tasks(tasks: Sequence[Report]) -> Html:
    cards = [task_card(task) for task in tasks]
    said = (
        "Uncensored values are strong, censored ones (“<”, “>”) faint. Bins are round numbers, and "
        "tasks of few compounds have no plot. The quorum counts compounds."
    )
    body = tag("div", *cards, class_="cards") if cards else tag("p", "No task has data yet.")
    return tag("section", tag("h2", "Tasks"), tag("p", said, class_="soft"), body)


def _set_aside(reasons: Sequence[Report]) -> Html:
    rows = []
    for entry in reasons:
        places = [tag("div", place) for place in _places(entry["examples"])]
        why = dict.fromkeys(example["reason"] for example in entry["examples"])
        said = join(tag("code", entry["code"]), *[tag("div", reason) for reason in why])
        rows.append((f"{entry['count']:,}", said, join(*places)))
    heads = (("n", "rows"), ("", "reason"), ("where", "the first of them"))
    body = table(heads, rows) if rows else tag("p", "Every measurement was used.")
    return tag("section", tag("h2", "Set aside"), body)


def _places(examples: Sequence[Report]) -> list[str]:
    """Names each file, sheet and column once, with the rows in it."""
    rows: dict[str, list[str]] = {}
    for example in examples:
        sheet = f", sheet {example['sheet']}" if example["sheet"] else ""
        column = f", column {example['column']}" if example["column"] else ""
        rows.setdefault(f"{example['file']}{sheet}{column}", []).append(str(example["row"]))
    return [
        f"{where}: row{'s' if len(found) > 1 else ''} {', '.join(found)}"
        for where, found in rows.items()
    ]


def _sources(sources: Sequence[Report], entries: Sequence[Report]) -> Html:
    counts = (("n", "read"), ("n", "used"), ("n", "set aside"), ("n", "blank"))
    since = [("n", name) for name, _ in _FATES]
    stores = []
    for source in sources:
        held = ", ".join(f"{count} {state}" for state, count in source["files"].items())
        state = f"{source['kind']}, {source['state'] or 'not looked at yet'}"
        named = join(tag("b", source["name"]), tag("div", state, class_="soft"), source["why"])
        fates = [f"{source[name]:,}" for _, name in since]
        stores.append((named, held or "none", *_counts(source), *fates))
    rows = [
        (join(e["file"], tag("div", _note(e), class_="soft")), e["state"], *_counts(e))
        for e in entries[:_MOST_FILES]
    ]
    more = len(entries) - _MOST_FILES
    return tag(
        "section",
        tag("h2", "Sources and files"),
        table((("", "store"), ("", "files"), *counts, *since), stores),
        table((("where", "file"), ("whole", "state"), *counts), rows),
        *([tag("p", f"{more:,} more files; the JSON report has all.")] if more > 0 else []),
    )


def _counts(entry: Report) -> list[str]:
    return [f"{entry[name]:,}" for name in ("read", "used", "set_aside", "blank")]


def _note(entry: Report) -> str:
    same = f"The same content as {entry['same_as']}; it counts once." if entry["same_as"] else ""
    return " ".join(part for part in (entry["why"], same) if part)


def _duplicates(pairs: Sequence[Report]) -> Html:
    rows = [
        (
            " and ".join(pair["stores"]),
            *(f"{pair[n]:,}" for n in ("compounds", "measured", "equal")),
        )
        for pair in pairs
    ]
    counts = (("n", "compounds"), ("n", "measured in both"), ("n", "the same number"))
    said = "Compounds that two stores have in common; the same number in both was probably copied."
    body = table((("", "stores"), *counts), rows) if rows else tag("p", "No two stores overlap.")
    return tag("section", tag("h2", "Across stores"), tag("p", said, class_="soft"), body)


def _foot(report: Report) -> Html:
    said = "Read = used + set aside + blank, counted in measurements; one content counts once. "
    if not report["detailed"]:
        said += "File names, sheets, columns and assays are shown as they are named."
    return tag("footer", said)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
