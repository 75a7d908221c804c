"""The keeper's status as figures for Prometheus."""

from datetime import datetime

from agent.metrics import Figure, Labels, one
from agent.records import Json


def figures(status: Json, now: datetime) -> list[Figure]:
    """Returns what a status says in numbers.

    Args:
        status: As `agent.keeper.status.report` built it, with `job`.
        now: The time; an old one in the file means that no keeper writes it.
    """
    report = status if isinstance(status, dict) else {}
    stages = _dict(report, "stages")
    egress, rows = _dict(report, "egress"), _dict(report, "measurements")
    states: dict[Labels, float] = {
        (("stage", stage), ("state", state)): float(count)
        for stage, detail in stages.items()
        for state, count in _dict(detail, "counts").items()
        if isinstance(count, int)
    }
    return [
        one("onggi_keeper_seen_seconds", "When the keeper last wrote this.", now.timestamp()),
        Figure("onggi_keeper_items", "Things by stage and state.", "gauge", states),
        _lists(stages, "waits", "onggi_keeper_waiting", "Things that wait, 20 a stage at most."),
        _lists(stages, "wrong", "onggi_keeper_wrong", "Things that are wrong, 20 at most."),
        one(
            "onggi_keeper_job_running",
            "1 while a worker works.",
            float(bool(report.get("job"))),
        ),
        Figure("onggi_measurements", "Rows read, by what became of them.", "gauge", _counted(rows)),
        one("onggi_egress_leaves", "Decisions in the egress log.", _number(egress, "lines")),
        one("onggi_egress_envelopes_total", "Let out.", _number(egress, "envelopes"), "counter"),
        one("onggi_egress_bytes_total", "Let out.", _number(egress, "bytes"), "counter"),
    ]


def _lists(stages: dict[str, Json], key: str, name: str, said: str) -> Figure:
    samples: dict[Labels, float] = {}
    for stage, detail in stages.items():
        found = detail.get(key) if isinstance(detail, dict) else None
        samples[(("stage", stage),)] = float(len(found)) if isinstance(found, list) else 0.0
    return Figure(name, said, "gauge", samples)


def _counted(rows: dict[str, Json]) -> dict[Labels, float]:
    return {(("became", name),): float(n) for name, n in rows.items() if isinstance(n, int)}


def _dict(value: Json, key: str) -> dict[str, Json]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: dict[str, Json], key: str) -> float:
    found = value.get(key)
    return float(found) if isinstance(found, int | float) else 0.0
