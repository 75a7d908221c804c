"""What was decided of each release and why, as the ledger has it."""

import json
from collections.abc import Collection

from agent.ledger.book import Item, Ledger
from agent.records import Json
from agent.releases.quarantine import Case
from agent.releases.reasons import as_reason

_LEFT = ("refused", "rolled back")
_SHOWN = 50


def cases(ledger: Ledger) -> list[Case]:
    """Returns the releases that were refused or rolled back, oldest first."""
    found = []
    for item in ledger.find("release", *_LEFT):
        manifest, reason = _manifest(item), as_reason(str(item.detail.get("reason", "")))
        weights, golden = manifest.get("weights_sha256"), manifest.get("golden_sha256")
        named = str(golden) if golden else None
        found.append(Case(item.id, str(weights), named, reason, item.why, item.changed))
    return found


def decisions(ledger: Ledger, let_pass: Collection[str] = ()) -> list[dict[str, Json]]:
    """Describes the newest releases, oldest of them first.

    Args:
        ledger: Where releases are rows.
        let_pass: Weights that a person has released from quarantine.

    Returns:
        `id`, `version`, `state`, `since`, `why`; `reason`, the class of a refusal, else None;
        `held_as`, the earlier release of the same weights; `weights_sha256`; `quarantined`: whether
        these weights would be refused at once; `heads`: `outcome` and `sentence` by task; `told`:
        what the consortium was told, and whether it has answered.
    """
    told = _told(ledger)
    items = ledger.find("release")[-_SHOWN:]
    return [_decision(item, told.get(item.id, []), let_pass) for item in items]


def _decision(item: Item, told: list[Json], let_pass: Collection[str]) -> dict[str, Json]:
    manifest = _manifest(item)
    reason = as_reason(str(item.detail.get("reason", ""))) if item.state in _LEFT else None
    weights = str(manifest.get("weights_sha256", ""))
    return {
        "id": item.id,
        "version": item.detail.get("version"),
        "state": item.state,
        "since": item.changed,
        "why": item.why,
        "reason": reason,
        "held_as": item.detail.get("held_as"),
        "weights_sha256": weights,
        "quarantined": reason not in {None, "other"} and weights not in let_pass,
        "heads": _heads(item),
        "told": told,
    }


def _heads(item: Item) -> Json:
    sentences, outcomes = item.detail.get("gate"), item.detail.get("outcomes")
    known = outcomes if isinstance(outcomes, dict) else {}
    return {
        task: {"outcome": known.get(task), "sentence": said}
        for task, said in (sentences.items() if isinstance(sentences, dict) else ())
    }


def _told(ledger: Ledger) -> dict[str, list[Json]]:
    told: dict[str, list[Json]] = {}
    for item in ledger.find("statement"):
        word: Json = {"outcome": item.detail.get("outcome"), "state": item.state}
        told.setdefault(str(item.detail.get("about")), []).append(word)
    return told


def _manifest(item: Item) -> dict[str, Json]:
    content: dict[str, Json] = json.loads(str(item.detail.get("manifest", "{}")))
    return content
