"""The sets of a data folder as silos: read through their profiles, and joined to problems.

What a structure is and what its features are is kept in `--out`, so that a second run starts at
once.
"""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from agent.assays.identity import Identifier
from agent.features.cache import FeatureCache
from agent.features.views import default_views
from agent.keeper.evaluation.gather import Gathered, gathered, without
from agent.keeper.evaluation.judge import Table
from agent.keeper.evaluation.order import SourceFile
from agent.keeper.evaluation.read import Reader
from agent.processes import cores
from benchmarks.accounts import PROFILES, profiles_by_file

SERIES, LARGE = "expansionrx", "biogen"
OTHERS = ("biogen", "az", "pharmabench", "ncats")
_QUICK_ROWS = 250


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """What was read.

    Attributes:
        own: The set that is judged on; its tasks bear their plain names.
        others: The other silos; their tasks bear the silo's name.
        cache: Of features.
    """

    own: Table
    others: tuple[Table, ...]
    cache: FeatureCache

    def problem(self, table: Table, left_out: Collection[str]) -> Gathered | None:
        """Returns a silo's problem without some compounds; None where too little is left."""
        name, frame, tasks = table
        return gathered(without(frame, left_out), tasks, name, self.cache)

    def smiles(self, keys: Sequence[str]) -> list[str]:
        """Returns structures of compounds of the own set."""
        frame = self.own[1].group_by("compound_key").agg(pl.col("smiles").min())
        found = dict(frame.iter_rows())
        return [found[key] for key in keys]


def read_sets(
    data: Path, out: Path, own: str, others: Sequence[str] = (), *, quick: bool = False
) -> Sets:
    """Reads one set, and others beside it.

    Args:
        data: The folder of the sets.
        out: Where caches and parts may lie.
        own: The folder's name of the set that is judged on.
        others: Those of the other silos.
        quick: Read some 250 rows of each file only.

    Raises:
        Stop: A profile cannot be used.
        Refused: A file cannot be used.
    """
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    with Identifier(out / "identities.sqlite3", cores()) as known:
        reader = Reader(parts, known)
        tables = [
            _table(reader, _sources(data, out, name, quick), name, name != own)
            for name in (own, *others)
        ]
    cache = FeatureCache(out / "features.sqlite3", default_views(), processes=0)
    return Sets(tables[0], tuple(tables[1:]), cache)


def _sources(data: Path, out: Path, name: str, quick: bool) -> list[SourceFile]:
    found = []
    for file, profile in profiles_by_file().items():
        if file.split("/", maxsplit=1)[0] == name:
            path = _thinned(data / file, out / "thinned") if quick else data / file
            found.append(SourceFile(path=str(path), profile=str(PROFILES / f"{profile}.toml")))
    return found


def _thinned(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with path.open(encoding="utf-8-sig", newline="") as handle:
        header, *rows = csv.reader(handle)
    thin = folder / path.name
    with thin.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows[:: max(len(rows) // _QUICK_ROWS, 1)]])
    return thin


def _table(reader: Reader, sources: Sequence[SourceFile], name: str, named: bool) -> Table:
    files = [reader.measured(one, name if named else "", lambda _: None) for one in sources]
    tasks = dict.fromkeys(task for file in files for task in file.tasks)
    return name, pl.concat([file.frame for file in files]), tuple(tasks)


def part(whole: Gathered, keys: Collection[str], name: str) -> Gathered:
    """Returns some compounds of a problem as a silo of its own, with the same tasks.

    The tasks keep the whole's scaling, as a catalogue's endpoints do at every silo.
    """
    silo = whole.silo
    rows = np.flatnonzero([key in keys for key in whole.compounds])
    place = np.full(len(whole.compounds), -1)
    place[rows] = np.arange(len(rows))
    mine = place[silo.labels.rows] >= 0
    labels = silo.labels.select(mine)
    own = replace(
        silo,
        name=name,
        features=silo.features.take(rows),
        labels=labels.on_rows(place[labels.rows]),
        age=None if silo.age is None else silo.age[mine],
    )
    return Gathered(own, tuple(whole.compounds[row] for row in rows))
