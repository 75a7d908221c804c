"""The status: for each stage what it last did, what waits, and what is wrong."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from agent.errors import Refused
from agent.keeper.channel import fresh_until
from agent.keeper.decisions import decisions
from agent.keeper.local import OWNER
from agent.keeper.policing import SITE
from agent.ledger import egress
from agent.ledger.book import Item, Ledger
from agent.ledger.states import Kind
from agent.records import Json
from agent.releases.card import read_card
from agent.releases.choice import choice, reason
from agent.releases.folder import active_id, path_of

_STAGES: dict[str, tuple[Kind, frozenset[str], frozenset[str]]] = {
    # stage: kind of item, states that wait, states that are wrong
    "clock": ("clock", frozenset(), frozenset({"doubted"})),
    "stores": ("store", frozenset(), frozenset({"lost"})),
    "files": ("file", frozenset({"found", "queued"}), frozenset({"refused"})),
    "snapshots": ("snapshot", frozenset({"wanted", "frozen"}), frozenset({"failed"})),
    "jobs": ("job", frozenset({"queued", "started"}), frozenset({"failed"})),
    "policy": ("policy", frozenset(), frozenset({"unsigned"})),
    "plans": ("plan", frozenset(), frozenset({"declined"})),
    "rounds": ("round", frozenset({"announced"}), frozenset({"skipped"})),
    "updates": (
        "update",
        frozenset({"drafted", "held", "sealed", "delivered"}),
        frozenset({"refused"}),
    ),
    "statements": ("statement", frozenset({"signed"}), frozenset({"refused"})),
    "egress": ("reconciliation", frozenset(), frozenset({"differing"})),
    "releases": (
        "release",
        frozenset({"announced", "fetched", "verified", "staged", "gated", "trial"}),
        frozenset({"refused", "rolled back"}),
    ),
    "letters": ("letter", frozenset(), frozenset({"refused"})),
}
_SHOWN = 20

Report = dict[str, Json]


def report(ledger: Ledger, silo: str, let_pass: Collection[str] = ()) -> Report:
    """Builds the whole status from the ledger alone.

    Args:
        ledger: Where everything is.
        silo: This silo's name.
        let_pass: Weights that a person has released from quarantine.

    Returns:
        A JSON object: `silo`, `stages` (by name: `counts`, `last`, `waits`, `wrong`),
        `measurements`, `tasks` (how each stands in the newest snapshot), `models` (scores by
        release and task), `releases` (what was decided of each and why), `releases_fresh_until`,
        `egress`, `policy`.
    """
    stages: Report = {name: _stage(ledger, name) for name in _STAGES}
    return {
        "silo": silo,
        "stages": stages,
        "measurements": measurements(ledger),
        "tasks": tasks(ledger),
        "models": _models(ledger),
        "releases": list[Json](decisions(ledger, let_pass)),
        "releases_fresh_until": fresh_until(ledger),
        "egress": _egress(ledger),
        "policy": policy(ledger),
    }


def sentence(status: Json) -> str:
    """Says in counts how a keeper stands, from its status; empty before there is one."""
    stages = status.get("stages") if isinstance(status, dict) else None
    if not isinstance(status, dict) or not isinstance(stages, dict):
        return ""
    said = [
        f"{name}: {', '.join(parts)}"
        for name, stage in stages.items()
        if isinstance(stage, dict) and (parts := _parts(stage))
    ]
    work = "a job runs" if status.get("job") else "no job"
    return "; ".join([work, *said])


def _parts(stage: dict[str, Json]) -> list[str]:
    found = {word: stage.get(key) for word, key in (("wait", "waits"), ("wrong", "wrong"))}
    return [
        f"{len(lines)} {word}" for word, lines in found.items() if isinstance(lines, list) and lines
    ]


def measurements(ledger: Ledger) -> Report:
    """Adds up the accounts of every file: read = used + set aside + blank."""
    totals = dict.fromkeys(("read", "used", "set_aside", "blank"), 0)
    seen: set[Any] = set()
    for item in ledger.find("file", "ingested"):
        if item.detail.get("part") in seen:
            continue
        seen.add(item.detail.get("part"))
        for name in totals:
            totals[name] += int(str(item.detail.get(name, 0)))
    return {**totals}


def tasks(ledger: Ledger) -> Json:
    """Returns how each task stands in the newest snapshot: its labels, what its quorum lacks."""
    newest = ledger.newest("snapshot", ("frozen", "scored"), 1)
    return newest[0].detail.get("tasks", []) if newest else []


def heads(releases: Path) -> list[Report]:
    """Says of each head of the active release what it is made of, and why.

    Args:
        releases: The folder of all releases.

    Returns:
        `task`, `choice` (`personal`, `federated`, `local` or `average`), `shares` by name and
        `why`, a sentence; nothing before the first release, or where its card does not say.
    """
    active = active_id(releases)
    try:
        tasks = read_card(path_of(releases, active)).tasks if active else ()
    except Refused:  # predict says itself that it cannot load it
        return []
    return [
        {
            "task": task.task,
            "choice": choice(task),
            "shares": {way.name: way.share for way in task.ways},
            "why": reason(task),
        }
        for task in tasks
        if task.ways
    ]


def _stage(ledger: Ledger, name: str) -> Json:
    kind, waiting, wrong = _STAGES[name]
    last = ledger.last_transition(kind)
    counts: Report = {**ledger.counts(kind)}
    # The snapshot in use says what the next one waits for.
    used = ledger.newest(kind, {"scored"}, 1) if name == "snapshots" else []
    kept = [item for item in used if item.why]
    return {
        "counts": counts,
        "last": dict(zip(("at", "id", "state", "why"), last, strict=True)) if last else None,
        "waits": [_line(item) for item in (*ledger.newest(kind, waiting, _SHOWN), *kept)],
        "wrong": [_line(item) for item in ledger.newest(kind, wrong, _SHOWN)],
    }


def _line(item: Item) -> Json:
    why = item.why or str(item.detail.get("reason", ""))
    return {"id": item.id, "state": item.state, "why": why, "since": item.changed}


def _egress(ledger: Ledger) -> Json:
    envelopes, sent = egress.totals(ledger)
    return {"lines": egress.size(ledger), "envelopes": envelopes, "bytes": sent}


def policy(ledger: Ledger) -> Report:
    """Says which policy is in force: its hash, who signed it off and when; empty by default."""
    item = ledger.get("policy", SITE)
    detail = item.detail if item is not None else {}
    names = ("sha256", "version", "signer", "signed", "officer")
    state, why = (item.state, item.why) if item is not None else ("default", "")
    return {"state": state, "why": why, **{name: detail.get(name, "") for name in names}}


def _models(ledger: Ledger) -> Json:
    """Errors of this silo's own model and of each release, on the same held-out compounds."""
    models: list[Json] = []
    for item in ledger.find("release"):
        snapshot = str(item.detail.get("snapshot", ""))
        key = str(item.detail.get("local", snapshot))
        local = {score.task: score.value for score in ledger.scores(OWNER, key)}
        rows: list[Json] = [
            {
                "task": score.task,
                "metric": score.metric,
                "n_train": score.n_train,
                "n_test": score.n_test,
                "local": local.get(score.task),
                "federated": score.value,
            }
            for score in ledger.scores(item.id, snapshot)
        ]
        line = _line(item)
        models.append({**(line if isinstance(line, dict) else {}), "tasks": rows})
    return models
