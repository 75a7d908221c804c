"""What people are told of the silo as a whole: its releases, its part, its coverage.

Predict shows it to every chemist, so there is never a structure, a measured value, or the name of a
store, a file or another silo in it.
"""

from collections.abc import Mapping

from agent.keeper.decisions import decisions
from agent.ledger import egress
from agent.ledger.book import Item, Ledger
from agent.records import Json

FILE = "site.json"
_LEFT = frozenset({"refused", "rolled back"})

Report = dict[str, Json]


def report(ledger: Ledger) -> Report:
    """Builds the report from the ledger alone.

    Returns:
        `releases`, newest first: `release`, `version`, `state`, `time`, `reason` (a sentence,
        where it was refused or taken back), `heads` (`endpoint`, errors `before` and `after` on
        the same measurements, `verdict`, `sentence`); `contribution`: `rounds` that the silo was
        asked into, `updates` that the aggregator took, `bytes_sent` in all, `last_sent`;
        `endpoints`: by name, `compounds`, `measurements`, `newest`, `by_year`.
    """
    errors = {item.id: item.detail.get("errors") for item in ledger.find("release")}
    releases = [_release(known, errors) for known in reversed(decisions(ledger))]
    return {
        "releases": list[Json](releases),
        "contribution": _contribution(ledger),
        "endpoints": _coverage(ledger),
    }


def _release(known: Mapping[str, Json], errors: Mapping[str, Json]) -> Report:
    release = str(known["id"])
    own = errors.get(release)
    found: Report = {
        "release": release,
        "version": known["version"],
        "state": known["state"],
        "time": known["since"],
        "heads": _heads(known["heads"], own if isinstance(own, dict) else {}),
    }
    return {**found, "reason": known["why"]} if known["state"] in _LEFT else found


def _heads(verdicts: Json, errors: Mapping[str, Json]) -> Json:
    heads: list[Json] = []
    for endpoint, said in verdicts.items() if isinstance(verdicts, dict) else ():
        pair = errors.get(endpoint)
        before, after = pair if isinstance(pair, list) else (None, None)
        verdict: Report = said if isinstance(said, dict) else {}
        heads.append(
            {
                "endpoint": endpoint,
                "before": before,
                "after": after,
                "verdict": verdict.get("outcome"),
                "sentence": verdict.get("sentence"),
            }
        )
    return heads


def _contribution(ledger: Ledger) -> Report:
    _, sent = egress.totals(ledger)
    last: list[Item] = ledger.newest("update", ("delivered", "acknowledged"), 1)
    return {
        "rounds": sum(ledger.counts("round").values()),
        "updates": ledger.counts("update").get("acknowledged", 0),
        "bytes_sent": sent,
        "last_sent": last[0].changed if last else None,
    }


def _coverage(ledger: Ledger) -> Json:
    newest = ledger.newest("snapshot", ("frozen", "scored"), 1)
    return newest[0].detail.get("coverage", {}) if newest else {}
