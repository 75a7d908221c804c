"""Public measurements of many endpoints, as one table of structures and tasks to start from."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.features.cache import FeatureCache
from agent.features.rows import Features
from agent.learning.tasks import Labels, TaskSpec

_FEWEST = 200  # labels of a task that is worth a head
_SIDES = {"=": 0, "": 0, "<": -1, ">": 1}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one file.

    Attributes:
        file: Below the folder of the sets.
        structure, value: The columns' names.
        task: Columns of several files may be one task.
        scale: From the file's number to what is learned.
        side: The column of qualifiers; empty without one.
        only: Another column and what it must hold; empty for all rows.
    """

    file: str
    structure: str
    value: str
    task: str
    scale: Callable[[float], float] = float
    side: str = ""
    only: tuple[str, str] = ("", "")


def _log(value: float) -> float:
    return math.log10(max(value, 0.0) + 1.0)


_SMILES, _BIOGEN, _EXPANSION = "canonical_smiles", "biogen/adme_3521.csv", "expansionrx/train.csv"
_PAMPA = "ncats/permeability_NCATS-PAMPA-pH7.4.csv"
_CYP, _BENCH = "chembl_cyp/ic50_long.csv", "pharmabench/{}_reg_final_data.csv"
COLUMNS: tuple[Column, ...] = (
    Column("az/lipophilicity_AZ-lipo.csv", _SMILES, "logD7.4", "logd"),
    Column(_EXPANSION, "SMILES", "LogD", "logd"),
    Column("az/solubility_AZ-sol.csv", _SMILES, "logS", "az-solubility"),
    Column("az/PPB_AZ-hPPB.csv", _SMILES, "log_pct_unbound", "human-binding"),
    Column("az/PPB_AZ-rPPB.csv", _SMILES, "log_pct_unbound", "rat-binding"),
    Column("az/hepatocyte_AZ-hH.csv", _SMILES, "LOG HH_CLint (uL/min/1E6 cells)", "human-cells"),
    Column("az/hepatocyte_AZ-rH.csv", _SMILES, "LOG RH_CLint (uL/min/1E6 cells)", "rat-cells"),
    Column("az/microsomal_AZ-hLM.csv", _SMILES, "LOG HLM_CLint (mL/min/g)", "az-hlm"),
    *(
        Column(_BIOGEN, "SMILES", name, task)
        for name, task in (
            ("LOG HLM_CLint (mL/min/kg)", "biogen-hlm"),
            ("LOG RLM_CLint (mL/min/kg)", "biogen-rlm"),
            ("LOG MDR1-MDCK ER (B-A/A-B)", "biogen-efflux"),
            ("LOG SOLUBILITY PH 6.8 (ug/mL)", "biogen-solubility"),
        )
    ),
    *(
        Column(_EXPANSION, "SMILES", name, f"expansion-{number}", _log)
        for number, name in enumerate(
            (
                *("KSOL", "HLM CLint", "MLM CLint", "Caco-2 Permeability Papp A>B"),
                *("Caco-2 Permeability Efflux", "MPPB", "MBPB", "MGMB"),
            )
        )
    ),
    Column("ncats/permeability_USTL-Caco2.csv", _SMILES, "logPapp", "caco2"),
    Column(_PAMPA, _SMILES, "low_moderate_permeability", "pampa"),
    *(
        Column(_CYP, "Smiles", "pIC50", f"cyp-{one.lower()}", float, "prel", ("iso", one))
        for one in ("3A4", "2D6", "2C9", "1A2", "2C19", "2C8")
    ),
    Column(_BENCH.format("hum_mic_cl"), "Smiles_unify", "value", "bench-hlm"),
    Column(_BENCH.format("mou_mic_cl"), "Smiles_unify", "value", "bench-mlm"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is public of some structures.

    Attributes:
        features: One row a structure.
        labels: On the tasks' columns.
        tasks: What they are.
    """

    features: Features
    labels: Labels
    tasks: tuple[TaskSpec, ...]


def bare(smiles: str) -> str:
    """Returns what a structure is without salts, charges and stereochemistry; empty if unreadable.

    Two records of one compound must be recognized, however each of them was drawn.
    """
    from rdkit import Chem

    from agent.features.light import light_mol
    from agent.records import InvalidStructure

    mol = light_mol(smiles, "smiles")
    return "" if isinstance(mol, InvalidStructure) else Chem.MolToSmiles(mol, isomericSmiles=False)


def known(data: Path, without: set[str], cache: FeatureCache, limit: int = 0) -> Known:
    """Reads everything public but of some structures.

    Args:
        data: The folder of the sets.
        without: Structures to leave out, as `bare` writes them.
        cache: Of features.
        limit: Of rows of each file, for a quick look; 0 reads all.
    """
    cells, drawn = _cells(data, without, limit)
    enough = sorted(task for task, own in cells.items() if len(own) >= (1 if limit else _FEWEST))
    place = {key: row for row, key in enumerate(sorted({key for t in enough for key in cells[t]}))}
    entries = [
        (place[key], column, *_one(said))
        for column, task in enumerate(enough)
        for key, said in sorted(cells[task].items())
    ]
    rows, cols, values, sides = (np.array(part) for part in zip(*entries, strict=True))
    labels = Labels(rows, cols, values.astype(np.float32), sides.astype(np.int8))
    smiles = [drawn[key] for key in place]
    found = cache.get_or_compute(smiles, smiles)
    usable = found.usable[labels.rows]
    return Known(found, labels.select(usable), tuple(_specs(enough, labels)))


def _cells(
    data: Path, without: set[str], limit: int
) -> tuple[dict[str, dict[str, list[tuple[float, int]]]], dict[str, str]]:
    """Returns what was measured by task and structure, and how each structure is drawn."""
    cells: dict[str, dict[str, list[tuple[float, int]]]] = {}
    drawn: dict[str, str] = {}
    keys: dict[str, str] = {}
    for column in COLUMNS:
        for smiles, value, side in _read(data / column.file, column, limit):
            if smiles not in keys:
                keys[smiles] = bare(smiles)
            key = keys[smiles]
            if key and key not in without:
                drawn.setdefault(key, smiles)
                cells.setdefault(column.task, {}).setdefault(key, []).append((value, side))
    return cells, drawn


def _read(path: Path, column: Column, limit: int) -> Iterator[tuple[str, float, int]]:
    other, wanted = column.only
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if limit and number >= limit:
                return
            try:
                value = column.scale(float(row[column.value]))
            except ValueError:
                continue  # blank, or a word
            if math.isfinite(value) and (not other or row[other] == wanted):
                yield row[column.structure], value, _SIDES[row[column.side] if column.side else ""]


def _one(said: list[tuple[float, int]]) -> tuple[float, int]:
    """Joins what was said of one structure: what was measured exactly, where anything was."""
    exact = [value for value, side in said if side == 0]
    return (float(np.median(exact)), 0) if exact else said[0]


def _specs(tasks: list[str], labels: Labels) -> Iterator[TaskSpec]:
    for column, task in enumerate(tasks):
        values: npt.NDArray[np.float32] = labels.values[labels.cols == column]
        if set(np.unique(values)) <= {0.0, 1.0}:
            yield TaskSpec(task, "classification")
        else:
            yield TaskSpec(task, "regression", float(values.mean()), float(values.std()) or 1.0)
