"""Feeds damaged files to every reader: each must be read or refused, and nothing else may happen.

`python -m benchmarks.fuzz [--runs 10000] [--seed 1] [--only NAME [--first N]]`. The files
are made here, one for each reader, and damaged byte by byte, by nasty insertions, and (workbooks)
inside the archive.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import polars as pl
import xlsxwriter
from rich.console import Console
from rich.table import Table

from agent.errors import Refused, Stop
from agent.records import Blank, Reading, SetAside
from agent.stores.kinds import StoreKind
from agent.stores.profile import KMELLODDY, AssayColumn, Columns, Profile
from agent.stores.readers import read
from benchmarks import fuzz_protocol

TABLE = Profile(
    version=1,
    missing=("NA",),
    columns=Columns(compound="ID", structure="SMILES", date="Date"),
    assay=(
        AssayColumn(column="logD", endpoint="logd", floor=-1.0, ceiling=4.0),
        AssayColumn(column="Sol", endpoint="solubility", unit="uM", below=("0",), limit=0.5),
    ),
)
_SDF = Profile(version=1, assay=TABLE.assay)
_ROWS = [
    ("C1", "CCO", "2026-01-02", "1.5", "> 30.0"),
    ("화합물", "c1ccccc1C(=O)O", "", "-1", "0"),
    ("=cmd()", "CC(=O)Oc1ccccc1C(=O)O", "2025-12-31", "", "1,234"),
    ("../../etc/passwd", "C" * 300, "x", "NA", "2026-01-02"),
]
_HEADER = ("ID", "SMILES", "Date", "logD", "Sol")
_STANDARD = (
    (
        *("Chemical ID", "SMILES_Structure_Parent", "Test", "Test_Type"),
        *("Measurement_Relation", "Measurement_Value", "Measurement_Unit"),
    ),
    ("C1", "CCO", "Permeability", "Caco-2", ">", "[6,2]", "10^-6 cm/s"),
    ("C2", "CCN", "Toxicity", "hERG", "Positive", "", "µM"),
)
_NASTY = (
    *(
        b"\0",
        b"\xff\xfe",
        b'"',
        b"\r",
        b"\n\n",
        b",,,,",
        b"\x1a",
        b"[,]",
        b"1e999",
        b"\xed\xa0\x80",
    ),
    *(b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b'<c r="XFD1048576"/>', b'<c r="A1" t="e"><f>1/0</f></c>'),
    *(b"$$$$\n", b"M  END\n", b"> <logD>\n", b"=cmd()", b"C" * 5000, b"9" * 400, b"null", b"{}"),
)

Make = Callable[[], bytes]


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    return "\r\n".join(",".join(f'"{cell}"' for cell in row) for row in rows).encode()


def _workbook(sheet: str, rows: Sequence[Sequence[str]]) -> bytes:
    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer, {"strings_to_numbers": True}) as book:
        page = book.add_worksheet(sheet)
        for at, row in enumerate(rows):
            page.write_row(at, 0, [f" {cell}" if cell.startswith("=") else cell for cell in row])
        page.write_formula(len(rows), 3, "=1/0", None, "#DIV/0!")
    return buffer.getvalue()


def _parquet() -> bytes:
    buffer = BytesIO()
    columns = {name: [row[at] for row in _ROWS] for at, name in enumerate(_HEADER)}
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def _sdf() -> bytes:
    block = "{}\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 C\nM  END\n"
    record = block + "> <logD>\n{}\n\n> <Sol>\n{}\n\n$$$$\n"
    return "".join(record.format(row[0], row[3], row[4]) for row in _ROWS).encode()


def _spool() -> bytes:
    lines = ['{"columns": ["ID", "SMILES", "Date", "logD", "Sol"], "state": {}}']
    lines += ['["C1", "CCO", "2026-01-02", 1.5, null]', '["C2", "CC", null, "x", 3]']
    return "\n".join(lines).encode()


READERS: dict[str, tuple[StoreKind, str, Profile, Make]] = {
    "csv": ("table", ".csv", TABLE, lambda: _csv([_HEADER, *_ROWS])),
    "xlsx": ("table", ".xlsx", TABLE, lambda: _workbook("Results", [_HEADER, *_ROWS])),
    "parquet": ("table", ".parquet", TABLE, _parquet),
    "sdf": ("sdf", ".sdf", _SDF, _sdf),
    "spool": ("spool", ".ndjson", TABLE, _spool),
    "standard csv": ("kmelloddy", ".csv", KMELLODDY, lambda: _csv(_STANDARD)),
    "standard xlsx": ("kmelloddy", ".xlsx", KMELLODDY, lambda: _workbook("ADMET", _STANDARD)),
}
"""By name: the kind of store, the file name's ending, the profile, and what makes a sound file."""


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Returns the content with one to six faults; a workbook is also damaged inside its archive."""
    if content[:2] == b"PK" and chance.random() < 0.7:
        return _damaged_inside(content, chance)
    found = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        _damage(found, chance)
    return bytes(found)


def _damage(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content) + 1)
    match chance.randrange(5):
        case 0 if at < len(content):
            content[at] = chance.randrange(256)
        case 1:
            del content[at : at + chance.randint(1, 40)]
        case 2:
            content[at:at] = chance.choice(_NASTY)
        case 3:
            content[at:at] = content[at : at + chance.randint(1, 200)]
        case 4 if chance.random() < 0.2:
            del content[at:]


def _damaged_inside(content: bytes, chance: random.Random) -> bytes:
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(content)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        names = source.namelist()
        victims = {chance.choice(names), *(n for n in names if "sheet1" in n)}
        for name in names:
            part = bytearray(source.read(name))
            if name in victims:
                _damage(part, chance)
            target.writestr(name, bytes(part))
    return buffer.getvalue()


def outcome(path: Path, kind: StoreKind, profile: Profile) -> str:
    """Reads a file to its end.

    Returns:
        `read`, or the code with which it was refused.

    Raises:
        TypeError: A reader yielded what is no item.
        Exception: Whatever else a reader let escape; that is the fault that is looked for.
    """
    try:
        for item in read(path, kind, profile):
            if not isinstance(item, (Reading, SetAside, Blank)):
                raise TypeError(f"{type(item).__name__} is no item")
    except Refused as refused:
        return refused.code
    return "read"


def fuzz(name: str, runs: range, seed: int, folder: Path) -> Counter[str]:
    """Damages one reader's file so often and counts what became of it.

    Args:
        name: A key of `READERS`.
        runs: The numbers of the runs; each has its own chance and can be repeated alone.
        seed: Makes another series.
        folder: Keeps the file of the last run, and its number in `at`.

    Raises:
        Exception: What a reader let escape; the file that did it is left in the folder.
    """
    kind, suffix, profile, make = READERS[name]
    content = make()
    path = folder / f"{name.replace(' ', '-')}{suffix}"
    found: Counter[str] = Counter()
    for run in runs:
        (folder / "at").write_text(str(run))
        path.write_bytes(damaged(content, random.Random(f"{seed} {run}")))
        found[outcome(path, kind, profile)] += 1
        (folder / "found").write_text(json.dumps(found))
    return found


def fuzz_apart(name: str, runs: int, seed: int, folder: Path) -> Counter[str]:
    """Does the same in children, so that a reader that takes its process down is counted too."""
    found: Counter[str] = Counter()
    first = 0
    while first < runs:
        for left in ("at", "found"):
            (folder / left).unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks.fuzz", "--only", name, "--seed", str(seed)]
        command += ["--runs", str(runs), "--first", str(first), "--folder", str(folder)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if (folder / "found").exists():
            found.update(json.loads((folder / "found").read_text()))
        if child.returncode >= 0 and child.returncode != 0:
            raise Stop(f"A reader let something escape; see {folder}:\n{child.stderr}")
        if child.returncode == 0:
            break
        first = int((folder / "at").read_text()) + 1
        found["PROCESS DIED"] += 1
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints what became of the damaged files, by reader."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="Damaged files for each reader.")
    parser.add_argument("--first", type=int, default=0, help="The number of the first run.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="One reader, in this process.")
    parser.add_argument("--protocol", action="store_true", help="The protocol's parsers instead.")
    parser.add_argument("--folder", type=Path, help="Where the damaged file lies.")
    chosen = parser.parse_args(arguments)
    if chosen.protocol:
        fuzz_protocol.main(chosen.runs, chosen.seed, [chosen.only] if chosen.only else [])
        return
    if chosen.only and chosen.only not in READERS:
        parser.error(f"--only takes one of {', '.join(READERS)}")
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="onggi-fuzz-"))
    if chosen.only:
        print(dict(fuzz(chosen.only, range(chosen.first, chosen.runs), chosen.seed, folder)))
        return
    table = Table("reader", "runs", "outcomes")
    for name in READERS:
        found = fuzz_apart(name, chosen.runs, chosen.seed, folder)
        said = ", ".join(f"{code} {count}" for code, count in found.most_common())
        table.add_row(name, str(found.total()), said)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
