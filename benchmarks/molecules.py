"""Makes measurements by enumeration: real compounds, each with substituents on aromatic carbons.

`python -m benchmarks.molecules --data FOLDER --out FOLDER --rows 1000000`; what is there already
is kept. The numbers measure nothing: they only have to be read, converted and joined.
"""

import argparse
import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from rdkit import Chem, rdBase

from agent.processes import cores, executor

ROWS_PER_COMPOUND = 10 / 3  # 1,000,000 measurements of 300,000 compounds
NEW_ROWS = 100

PROFILE = """\
version = 1
[columns]
compound = "compound"
structure = "smiles"
assay = "assay"
qualifier = "qualifier"
value = "value"
unit = "unit"
date = "date"
measurement_id = "id"
[[map]]
assay = "logD 7.4"
endpoint = "logd"
[[map]]
assay = "kinetic solubility"
endpoint = "solubility"
[[map]]
assay = "HLM"
endpoint = "hlm_clint"
[[map]]
assay = "CYP3A4"
endpoint = "cyp3a4_ic50"
[[map]]
assay = "Caco-2"
endpoint = "caco2_papp"
"""
_HEADER = ("id", "compound", "smiles", "assay", "qualifier", "value", "unit", "date")
_ASSAYS = (  # name, unit, and between which numbers
    ("logD 7.4", "", -1.0, 5.0),
    ("kinetic solubility", "uM", 0.5, 300.0),
    ("HLM", "uL/min/mg", 3.0, 300.0),
    ("CYP3A4", "nM", 20.0, 90_000.0),
    ("Caco-2", "10^-6 cm/s", 0.1, 50.0),
)
_STRUCTURE_HEADERS = frozenset({"smiles", "canonical_smiles", "smiles_unify"})
_SUBSTITUENTS = ("F", "Cl", "C", "OC", "C#N", "C(F)(F)F", "N", "CC", "OCC", "S(C)(=O)=O")
_SITES = 4
_MAX_ATOMS = 60


def real_structures(folder: Path) -> list[str]:
    """Returns every distinct structure in the CSV files of a folder, as written, in order."""
    found: dict[str, None] = {}
    for path in sorted(folder.rglob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            rows = csv.reader(handle)
            header = [name.strip().lower() for name in next(rows, [])]
            at = next((n for n, name in enumerate(header) if name in _STRUCTURE_HEADERS), None)
            if at is not None:
                found |= {row[at]: None for row in rows if len(row) > at and row[at]}
    return list(found)


def relatives(smiles: str) -> list[str]:
    """Returns a structure's enumerated relatives: one substituent on one aromatic C-H each."""
    with rdBase.BlockLogs():
        base: Chem.Mol | None = Chem.MolFromSmiles(smiles)
        if base is None or base.GetNumHeavyAtoms() > _MAX_ATOMS:
            return []
        places = [atom.GetIdx() for atom in base.GetAtoms() if _free(atom)][:_SITES]
        made = (_joined(base, place, group) for place in places for group in _SUBSTITUENTS)
        return [text for text in made if text]


def _free(atom: Chem.Atom) -> bool:
    return bool(atom.GetIsAromatic() and atom.GetAtomicNum() == 6 and atom.GetTotalNumHs() == 1)


def _joined(base: Chem.Mol, place: int, group: str) -> str:
    both = Chem.RWMol(Chem.CombineMols(base, Chem.MolFromSmiles(group)))
    both.AddBond(place, base.GetNumAtoms(), Chem.BondType.SINGLE)
    first = both.GetAtomWithIdx(base.GetNumAtoms())
    first.SetNumExplicitHs(0)
    try:
        Chem.SanitizeMol(both)
    except ValueError:
        return ""
    return str(Chem.MolToSmiles(both))


def _many(structures: Sequence[str]) -> list[str]:
    return [text for smiles in structures for text in relatives(smiles)]


def enumerated(structures: Sequence[str], wanted: int) -> list[str]:
    """Returns distinct compounds: the real ones, then their relatives, until there are enough."""
    found = dict.fromkeys(structures[:wanted])
    chunks = [structures[start : start + 100] for start in range(0, len(structures), 100)]
    with executor(cores()) as pool:
        for start in range(0, len(chunks), cores() * 4):
            if len(found) >= wanted:
                break
            for texts in pool.map(_many, chunks[start : start + cores() * 4]):
                found |= dict.fromkeys(texts)
    return list(found)[:wanted]


def _rows(compounds: Sequence[str], count: int, first: int) -> Iterator[tuple[str, ...]]:
    dice = random.Random(first)
    for number in range(first, first + count):
        place = number % len(compounds)
        assay, unit, low, high = _ASSAYS[number // len(compounds) % len(_ASSAYS)]
        value = f"{dice.uniform(low, high):.3f}"
        sign = ">" if number % 23 == 0 else ""
        date = f"20{10 + number % 16:02d}-{1 + number % 12:02d}-{1 + number % 28:02d}"
        yield f"m{number}", f"c{place}", compounds[place], assay, sign, value, unit, date


def _write(path: Path, rows: Iterator[tuple[str, ...]]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(_HEADER)
        writer.writerows(rows)
    temporary.replace(path)


def make(data: Path, out: Path, rows: int) -> tuple[Path, Path]:
    """Makes a long table of that many measurements, and 100 more rows of new compounds.

    Args:
        data: Folder with the real sets.
        out: Where the files go; those that are there are kept.
        rows: How many measurements.

    Returns:
        The table, and the small one to drop into the same store.
    """
    out.mkdir(parents=True, exist_ok=True)
    table, drop = out / f"measurements-{rows}.csv", out / f"new-{rows}.csv"
    if table.exists() and drop.exists():
        return table, drop
    wanted = round(rows / ROWS_PER_COMPOUND)
    compounds = _compounds(data, out, wanted + NEW_ROWS)
    _write(drop, _rows(compounds[wanted:], NEW_ROWS, rows))
    _write(table, _rows(compounds[:wanted], rows, 0))
    return table, drop


def _compounds(data: Path, out: Path, wanted: int) -> list[str]:
    """Returns enumerated compounds, shuffled once, so that each size has the same mixture."""
    path = out / "compounds.txt"
    known = path.read_text().split() if path.exists() else []
    if len(known) < wanted:
        known = enumerated(real_structures(data), wanted)
        random.Random(0).shuffle(known)
        path.write_text("\n".join(known))
    return known[:wanted]


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the files and prints their paths."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.molecules", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the real sets.")
    parser.add_argument("--out", type=Path, required=True, help="Where the files go.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    chosen = parser.parse_args(arguments)
    for path in make(chosen.data, chosen.out, chosen.rows):
        print(path)


if __name__ == "__main__":
    main()
