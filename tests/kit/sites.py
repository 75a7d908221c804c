"""What a keeper tells of a site, made up: releases and verdicts, coverage, the silo's part."""

import random
from typing import Any

from agent.records import Json
from tests.kit.chemists import HEADS, error_of

_STATES = ("refused", "active", "replaced", "replaced", "rolled back", "replaced", "replaced")
_REASONS = {
    "refused": "herg_ic50: MAE 0.280 -> 0.420 on 120 measurements, worse by more than 25 %.",
    "rolled back": "It failed to load 3 times; the release before serves again.",
}
_YEARS = range(2016, 2027)


def site(newest: int = 8) -> dict[str, Json]:
    """Answers `GET /v1/site`; release 7 is in use, and one after it was refused.

    Args:
        newest: Version of the newest release.
    """
    chance = random.Random(4)
    releases: list[Json] = [
        _release(chance, newest - at, state) for at, state in enumerate(_STATES)
    ]
    return {
        "time": "2026-11-23T10:00:00Z",
        "releases": releases,
        "contribution": {
            "rounds": 64,
            "updates": 61,
            "bytes_sent": 351_233_112,
            "last_sent": "2026-11-22T02:10:00Z",
        },
        "endpoints": {head.task: _coverage(chance, head.n) for head in HEADS},
    }


def heads(release: str) -> list[dict[str, Any]]:
    """Returns what the gate found of one of these releases, endpoint by endpoint."""
    known: list[Any] = site()["releases"]  # type: ignore[assignment]
    found: list[dict[str, Any]] = next(one["heads"] for one in known if one["release"] == release)
    return found


def _release(chance: random.Random, version: int, state: str) -> dict[str, Json]:
    found: dict[str, Json] = {
        "release": f"release-{version}",
        "version": version,
        "state": state,
        "time": f"2026-{version + 3:02}-14T09:12:00Z",
        "heads": [
            _head(chance, head.task, error_of(head.task, head.spread), state) for head in HEADS
        ],
    }
    return {**found, "reason": _REASONS[state]} if state in _REASONS else found


def _head(chance: random.Random, endpoint: str, after: float, state: str) -> dict[str, Json]:
    before = after / chance.uniform(0.85, 1.03)
    if state == "refused" and endpoint == "herg_ic50":
        after, before, verdict = 0.42, 0.28, "worse"
    elif after > before:
        verdict = "tolerated"
    else:
        verdict = "better" if after < 0.96 * before else "within_chance"
    said = f"{endpoint}: MAE {before:.3f} -> {after:.3f} on 120 measurements."
    return {
        "endpoint": endpoint,
        "before": before,
        "after": after,
        "verdict": verdict,
        "sentence": said,
    }


def _coverage(chance: random.Random, n: int) -> dict[str, Json]:
    shares = {year: chance.random() ** 2 * (year - 2013) for year in _YEARS}
    total = sum(shares.values())
    by_year: dict[str, Json] = {
        str(year): round(n * share / total) for year, share in shares.items() if share > 0.5
    }
    return {
        "compounds": n,
        "measurements": round(1.3 * n),
        "newest": f"2026-11-{chance.randint(1, 18):02}",
        "by_year": by_year,
    }
