"""What the parties say of themselves while the demo runs, read from their status files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.demo.silos import Silo


@dataclass(frozen=True, slots=True)
class Glance:
    """One silo at one moment."""

    silo: str
    stage: str
    used: int
    set_aside: int
    rounds: int
    acknowledged: int
    release: str
    served: str


def glance(silo: Silo) -> Glance:
    """Reads how far a silo is; a file that is not there yet is nothing done yet."""
    status = _read(silo.state / "status" / "keeper.json").get("status", {})
    predict = _read(silo.state / "predict" / "status.json")
    counts: dict[str, dict[str, int]] = {
        name: stage.get("counts", {}) for name, stage in status.get("stages", {}).items()
    }
    measured, models = status.get("measurements", {}), status.get("models", [])
    newest = models[-1] if models else {}
    rounds, updates = counts.get("rounds", {}), counts.get("updates", {})
    return Glance(
        silo=silo.name,
        stage=_stage(status),
        used=measured.get("used", 0),
        set_aside=measured.get("set_aside", 0),
        rounds=sum(rounds.get(state, 0) for state in ("trained", "closed")),
        acknowledged=updates.get("acknowledged", 0),
        release=f"{newest['id']} {newest['state']}" if newest else "",
        served=predict.get("release") or "",
    )


def decisions(silo: Silo) -> dict[str, dict[str, Any]]:
    """Reads what a silo has decided of each release, by id."""
    status = _read(silo.state / "status" / "keeper.json").get("status", {})
    return {one["id"]: one for one in status.get("releases", [])}


def _stage(status: dict[str, Any]) -> str:
    job = status.get("job")
    if not job:
        return "waiting" if status else "starting"
    total = job.get("total", 0)
    return f"{job.get('stage', job['id'])}" + (f" {job['done']}/{total}" if total else "")


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content


def finished(glances: Sequence[Glance], consortium: dict[str, Any] | None, missed: int = 0) -> bool:
    """The plan's rounds are over, and every silo has taken or refused the last release.

    Args:
        glances: The silos.
        consortium: What the aggregator says.
        missed: In how many rounds a silo may have had no part.
    """
    if not consortium or not consortium["releases"]:
        return False
    if any(plan["state"] != "finished" for plan in consortium["plans"]):
        return False
    last = consortium["releases"][-1]["release_id"]
    aggregated = sum(r["state"] == "aggregated" for r in consortium["rounds"])
    return all(_decided(g, last) and g.acknowledged >= aggregated - missed for g in glances)


def _decided(silo: Glance, last: str) -> bool:
    if silo.release == f"{last} active":
        return silo.served == last
    return silo.release in {f"{last} refused", f"{last} rolled back"}
