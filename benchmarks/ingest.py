"""How fast measurements become training data, and in how much memory.

`python -m benchmarks.ingest --data FOLDER [--out FOLDER] [--json PATH] [--rows 10000,100000]` makes
tables of enumerated compounds, has them read by a worker and by a real keeper, does the same work
with bare RDKit and with peers in an environment of their own, and prints what came of it. The
1,000,000 rows take a quarter of an hour on two cores.
"""

import argparse
import csv
import io
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from agent.features.spec import default_spec
from agent.processes import cores
from benchmarks import molecules, peers, silo
from benchmarks.report import Row, below, faster, median, save, show

_PEERS = {
    "skfp": "scikit-fingerprints",
    "datamol": "datamol",
    "tuner": "pandas + RDKit in MELLODDY-TUNER's order, tautomers left alone",
    "tuner-tautomers": "the same with the canonical tautomer",
}
# Like for like is the light standardization: these peers find out no identity. MELLODDY-TUNER takes
# the canonical tautomer; without it, its stand-in does less than the program.
_LIGHT = "standardize lightly and featurize"
_FULL = "identity, then featurize"
_STRUCTURES, _WHOLE = (_LIGHT, _FULL), ("table to matrix",)
_TIMES = 3
_DROPS = 3
_RATE_ROWS, _PEER_ROWS = 50_000, 10_000
_BARE_SHARE = 10  # bare RDKit gets every tenth compound: it has no start to pay for
_SHARE, _AGAIN, _READY_S = 0.8, 20.0, 5.0
_KEEPER_MB, _WORKER_MB = 300.0, 700.0
_MB = 1e6
_PATIENCE_S = 4 * 3600.0
_LINEAR = 1.25  # what a measurement may cost more in a larger table


def _measured(module: str, *arguments: str) -> list[float]:
    # Not `-m`: the processes that it starts would import the whole module once more.
    command = [sys.executable, "-c", f"from {module} import main; main()", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(number) for number in json.loads(done.stdout.splitlines()[-1])]


def _structures(table: Path) -> list[str]:
    with table.open(encoding="utf-8", newline="") as handle:
        return list(dict.fromkeys(row["smiles"] for row in csv.DictReader(handle)))


def worker_runs(table: Path) -> tuple[list[float], list[float], list[float]]:
    """Reads, curates, joins and featurizes a table three times in a new folder.

    Returns:
        The steps' seconds (see `benchmarks.agent_work`) of the first time, of the second, before
        which what was read is forgotten and what structures are is not, and of the third, before
        which nothing is forgotten.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "profile.toml").write_text(molecules.PROFILE, encoding="utf-8")
        first = _measured("benchmarks.agent_work", name, str(table))
        shutil.rmtree(folder / "parts")
        anew = _measured("benchmarks.agent_work", name, str(table))
        return first, anew, _measured("benchmarks.agent_work", name, str(table))


def rates(table: Path, out: Path) -> list[Row]:
    """Compares a worker with bare RDKit, and with its own second and third time."""
    structures = _structures(table)
    sample = structures[::_BARE_SHARE]
    (out / "bare.smi").write_text("\n".join(sample), encoding="utf-8")
    names = json.dumps([scaling.name for scaling in default_spec().descriptors])
    bare, first = [], []
    anew: list[float] = []
    known: list[float] = []
    for _ in range(_TIMES):
        bare.append(_measured("benchmarks.bare", str(out / "bare.smi"), names))
        new, *old = worker_runs(table)
        first.append(new)
        for ratios, run in zip((anew, known), old, strict=True):
            ratios.append(sum(new[:3]) / sum(run[:3]))
    alone = [cores() * len(sample) / sum(run[:2]) for run in bare]
    ours = [len(structures) / (run[0] + run[2]) for run in first]
    spent = [run[3] / len(structures) * 1e3 for run in first]
    spent_bare = [run[2] / len(sample) * 1e3 for run in bare]
    return [
        _shares(f"read, standardize, featurize {len(structures):,} compounds", ours, alone),
        _spent("processor's time of a compound in that", spent, spent_bare),
        _again("the same file once more, its content known", known),
        _again("the same rows read anew, every structure known", anew),
    ]


def _again(what: str, ratios: list[float]) -> Row:
    value = median(ratios)
    must = f"≥ {_AGAIN:g} ×"
    return Row(what, value, "× faster", must=must, met=value >= _AGAIN, runs=ratios)


def _shares(what: str, ours: list[float], alone: list[float]) -> Row:
    value, peer = median(ours), median(alone)
    bare, share = f"bare RDKit in one process, × {cores()} cores", value / peer
    met = share >= _SHARE
    return Row(what, value, "compounds/s", bare, peer, share, f"≥ {_SHARE:g} ×", met, ours)


def _spent(what: str, ours: list[float], alone: list[float]) -> Row:
    """Compares processor time, which other work on the machine hardly changes."""
    value, peer = median(ours), median(alone)
    share = peer / value
    met = share >= _SHARE
    return Row(what, value, "ms", "bare RDKit", peer, share, f"≥ {_SHARE:g} ×", met, ours)


def peer_rows(table: Path, out: Path, environment: Path) -> list[Row]:
    """Does the peers' work beside ours, taking turns."""
    smiles = out / "peers.smi"
    smiles.write_text("\n".join(_structures(table)), encoding="utf-8")
    try:
        python = peers.make(environment)
        return [row for kind in _PEERS for row in _against(python, kind, smiles, table)]
    except peers.NoPeers as error:
        return [Row("standardize and fingerprint", None, "s", peer=f"not measured: {error}")]


def _against(python: Path, kind: str, smiles: Path, table: Path) -> list[Row]:
    """Compares with one peer; what does more than the peer stands beside it without a must."""
    whole = kind.startswith("tuner")
    ours: dict[str, list[float]] = {what: [] for what in (_WHOLE if whole else _STRUCTURES)}
    theirs = []
    for _ in range(_TIMES):
        theirs.append(peers.seconds(python, kind, table if whole else smiles, cores()))
        for what, runs in ours.items():
            runs.append(sum(worker_runs(table)[0][:3]) if whole else _standardized(smiles, what))
    compounds = len(smiles.read_text(encoding="utf-8").split("\n"))
    version = peers.versions(python).get({"skfp": "scikit-fingerprints"}.get(kind, kind), "")
    peer = f"{_PEERS[kind]} {version}".strip()
    rows = [faster(f"{what}, {compounds:,} compounds", s, peer, theirs) for what, s in ours.items()]
    like = {_WHOLE[0]: kind == "tuner-tautomers", _LIGHT: True, _FULL: False}
    return [
        row if like[what] else replace(row, must="", met=None)
        for what, row in zip(ours, rows, strict=True)
    ]


def _standardized(smiles: Path, what: str) -> float:
    mode = ["light"] if what == _LIGHT else []
    with tempfile.TemporaryDirectory() as name:
        return sum(_measured("benchmarks.agent_work", name, str(smiles), *mode))


def keeper_rows(root: Path, table: Path, drop: Path, rows: int) -> tuple[list[Row], float]:
    """Drops a table, and then 100 rows several times, into the store of a real keeper.

    Returns:
        The rows, and the seconds a measurement.
    """
    shutil.rmtree(root, ignore_errors=True)
    silo.enrol(root, molecules.PROFILE)
    with silo.Running(root) as keeper:
        _put(table.read_bytes(), root / "store" / "all.csv")
        whole_s = keeper.wait_frozen(1, _PATIENCE_S)
        keeper.wait_idle(_PATIENCE_S)
        ready_s = [_drop(keeper, root, text) for text in _drops(drop, rows)]
        memory = keeper.memory
    shutil.rmtree(root)
    at = f"{rows:,} measurements"
    return [
        Row(f"{at}: dropped to ready, nothing known", whole_s, "s", runs=[whole_s]),
        below(f"{at}: 100 more rows to ready", ready_s, "s", _READY_S),
        below(f"{at}: keeper's memory", [memory.keeper / _MB], "MB", _KEEPER_MB),
        below(
            f"{at}: largest worker's memory ({memory.at_worst})",
            [memory.worker / _MB],
            "MB",
            _WORKER_MB,
        ),
    ], whole_s / rows


def _drops(path: Path, rows: int) -> Iterator[bytes]:
    """Yields the small table several times, with other measurement numbers each time."""
    text = path.read_text(encoding="utf-8")
    for time in range(_DROPS):
        lines = list(csv.reader(io.StringIO(text)))
        for at, line in enumerate(lines[1:]):
            line[0] = f"m{rows + 1_000 * time + at}"
        written = io.StringIO()
        csv.writer(written).writerows(lines)
        yield written.getvalue().encode()


def _drop(keeper: silo.Running, root: Path, content: bytes) -> float:
    known = silo.frozen(root)
    _put(content, root / "store" / f"new{known}.csv")
    taken_s = keeper.wait_frozen(known + 1, _PATIENCE_S)
    keeper.wait_idle(_PATIENCE_S)
    return taken_s


def _put(content: bytes, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.rename(path)


def measure(chosen: argparse.Namespace, show_now: Callable[[Sequence[Row]], None]) -> list[Row]:
    """Measures everything, and shows each piece when it is there."""
    out: Path = chosen.out
    wanted = sorted({int(number) for number in chosen.rows.split(",")})
    made = {rows: molecules.make(chosen.data, out, rows) for rows in sorted(wanted, reverse=True)}
    small = [molecules.make(chosen.data, out, rows)[0] for rows in (_RATE_ROWS, _PEER_ROWS)]
    found = rates(small[0], out)
    show_now(found)
    found += peer_rows(small[1], out, chosen.peers or out / "peers")
    show_now(found)
    costs = {}
    for rows in wanted:
        more, costs[rows] = keeper_rows(out / "silo", *made[rows], rows)
        found += more
        show_now(found)
    found += [_cost(rows, cost, costs[wanted[0]]) for rows, cost in costs.items()]
    return found


def _cost(rows: int, cost: float, first: float) -> Row:
    return Row(
        f"{rows:,} measurements: cost of one",
        cost * 1e3,
        "ms",
        "the smallest table's",
        first * 1e3,
        first / cost,
        "linear",
        cost <= first * _LINEAR,
        [cost * 1e3],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the real sets.")
    parser.add_argument("--out", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--peers", type=Path, help="The peers' environment, else one in --out.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", default="10000,100000,1000000")
    chosen = parser.parse_args(arguments)
    chosen.out = chosen.out.absolute()
    chosen.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=160)
    console.print(f"Python {platform.python_version()}, {cores()} cores")

    def keep(rows: Sequence[Row]) -> None:
        show(rows, console)
        if chosen.json:
            save(rows, chosen.json)

    keep(measure(chosen, keep))


if __name__ == "__main__":
    main()
