"""What a worker of the agent does with a file, timed step by step in a process of its own.

`python -m benchmarks.agent_work FOLDER TABLE` reads the table by the profile in the folder, curates
it into parts, joins them and featurizes their compounds; caches stay in the folder. It prints the
seconds as JSON. A second run in the same folder finds the caches of the first.
"""

import json
import sys
import time
from pathlib import Path

from agent.assays.snapshot import build_snapshot
from agent.features.cache import FeatureCache
from agent.features.spec import default_spec
from agent.keeper.orders import FileOrder, IngestOrder
from agent.keeper.work.ingest import ingest
from consortium.catalogue import default_catalogue


def order(folder: Path, table: Path) -> IngestOrder:
    """Returns the keeper's order for one file."""
    found = table.stat()
    file = FileOrder(
        item=table.name, path=str(table), size=found.st_size, mtime_ns=found.st_mtime_ns
    )
    return IngestOrder(
        store="bench",
        reader="table",
        profile=str(folder / "profile.toml"),
        catalogue=default_catalogue("benchmark"),
        private=(),
        parts=str(folder / "parts"),
        files=(file,),
        identities=str(folder / "identities.sqlite3"),
        processes=0,
    )


def main() -> None:
    """Prints [seconds of ingest, seconds of joining, seconds of features, compounds, rows]."""
    folder, table = Path(sys.argv[1]), Path(sys.argv[2])
    job = order(folder, table)
    Path(job.parts).mkdir(exist_ok=True)
    started_s = time.perf_counter()
    (result,) = ingest(job, folder, lambda *_: None).files
    ingested_s = time.perf_counter()
    snapshot = build_snapshot([("bench", Path(job.parts) / result.part)], "00" * 32)
    joined_s = time.perf_counter()
    cache = FeatureCache(folder / "features.sqlite3", default_spec())
    cache.get_or_compute(snapshot.compounds, snapshot.smiles)
    ended_s = time.perf_counter()
    times = [ingested_s - started_s, joined_s - ingested_s, ended_s - joined_s]
    print(json.dumps([*times, len(snapshot.compounds), result.used, result.set_aside]))


if __name__ == "__main__":
    main()
