"""What the ledger knows of stores and files, as the ingest report takes it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from agent.clock import to_text
from agent.config import Config, Paths
from agent.keeper.assemble import private_endpoints, read_enrolment
from agent.keeper.trial import current_catalogue, quorum_of
from agent.ledger.book import Item, Ledger


def ingest_report(config: Config, now: datetime, *, detailed: bool) -> dict[str, Any]:
    """Builds the report of a silo from its ledger and parts; nothing is changed.

    Args:
        config: The silo's.
        now: For the report's head.
        detailed: Whether structures and values may be in it.

    Raises:
        Stop: The silo is not enrolled, or its keeper has never run.
    """
    # Polars and RDKit are heavy, and the keeper does not load them.
    from agent.assays.endpoints import EndpointIndex
    from agent.assays.report import About, FileRow, StoreRow, build_report
    from agent.assays.report_tasks import Needs

    paths = Paths(config.site.state)
    silo = read_enrolment(paths).silo
    index = EndpointIndex(current_catalogue(paths), private_endpoints(config))
    with Ledger(paths.ledger, read_only=True) as ledger:
        known = {item.id: item for item in ledger.find("store")}
        items = ledger.find("file")
    stores = [
        StoreRow(s.name, s.kind, *((i.state, i.why) if (i := known.get(s.name)) else ()))
        for s in config.store
    ]
    names = {store.name for store in stores} | {_store(item) for item in items}
    stores += [
        StoreRow(name, "no longer configured") for name in sorted(names - {s.name for s in stores})
    ]
    files = [FileRow(**_row(item, paths.parts)) for item in sorted(items, key=lambda i: i.changed)]
    needs = Needs(quorum_of(config.training), config.training.min_labels)
    about = About(silo, to_text(now), needs, detailed=detailed)
    return build_report(about, stores, files, index)


def _store(item: Item) -> str:
    return item.id.split("/", 1)[0]


def _row(item: Item, parts: Path) -> dict[str, Any]:
    detail = item.detail
    counts = {n: int(str(detail.get(n, 0))) for n in ("read", "used", "set_aside", "blank")}
    part = str(detail.get("part", ""))
    return {
        "store": _store(item),
        "path": item.id.split("/", 1)[-1],
        "state": item.state,
        "why": item.why,
        **(counts if item.state == "ingested" else {}),
        "part": parts / part if part and item.state == "ingested" else None,
        "sha256": str(detail.get("sha256", "")),
    }
