"""What a worker of the agent does with a file, timed step by step in a process of its own.

`python -m benchmarks.agent_work FOLDER TABLE` reads the table by the profile in the folder, curates
it into parts, joins them and featurizes their compounds; caches stay in the folder. It prints the
seconds as JSON. A second run in the same folder finds the caches of the first, and its part unless
that was removed. Where TABLE ends with `.smi`, one SMILES a line, it finds their identities and
featurizes them, or with `light` behind it only does the latter; nothing is kept then.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from agent.assays.identity import Identifier
from agent.assays.snapshot import build_snapshot
from agent.features.cache import FeatureCache
from agent.features.spec import default_spec
from agent.keeper.orders import FileOrder, IngestOrder
from agent.keeper.work.ingest import ingest
from agent.processes import cores
from agent.records import Compound
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


def structures(path: Path) -> list[float]:
    """Returns the seconds of standardizing and of featurizing, on every core."""
    smiles = path.read_text(encoding="utf-8").split("\n")
    started_s = time.perf_counter()
    with Identifier(None, cores()) as identifier:
        found = identifier.identify_all([(text, "smiles") for text in smiles])
    identified_s = time.perf_counter()
    good = {one.key: one.smiles for one in found if isinstance(one, Compound)}
    with tempfile.TemporaryDirectory() as name:
        cache = FeatureCache(Path(name) / "features.sqlite3", default_spec(), processes=0)
        cache.get_or_compute(list(good), list(good.values()))
    return [identified_s - started_s, time.perf_counter() - identified_s]


def light(path: Path) -> list[float]:
    """Returns the seconds of the light standardization and the features, on every core.

    It is the path of serving, and of features once a compound's identity is known.
    """
    smiles = path.read_text(encoding="utf-8").split("\n")
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        cache = FeatureCache(Path(name) / "features.sqlite3", default_spec(), processes=0)
        cache.get_or_compute(smiles, smiles)
    return [time.perf_counter() - started_s]


def processor_s() -> float:
    """Returns the processor time of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Prints the seconds of ingest, joining, features, and of the processor; and the compounds."""
    folder, table = Path(sys.argv[1]), Path(sys.argv[2])
    if table.suffix == ".smi":
        print(json.dumps((light if "light" in sys.argv[3:] else structures)(table)))
        return
    job = order(folder, table)
    Path(job.parts).mkdir(exist_ok=True)
    processor_before_s, started_s = processor_s(), time.perf_counter()
    (result,) = ingest(job, folder, lambda *_: None).files
    ingested_s = time.perf_counter()
    snapshot = build_snapshot([("bench", Path(job.parts) / result.part)], "00" * 32)
    joined_s = time.perf_counter()
    cache = FeatureCache(folder / "features.sqlite3", default_spec(), processes=0)
    cache.get_or_compute(snapshot.compounds, snapshot.smiles)
    ended_s = time.perf_counter()
    times = [ingested_s - started_s, joined_s - ingested_s, ended_s - joined_s]
    print(json.dumps([*times, processor_s() - processor_before_s, len(snapshot.compounds)]))


if __name__ == "__main__":
    main()
