"""The peers' work, timed: run in the peers' own environment, imports nothing of this repository.

`python peer_work.py KIND FILE CORES` prints the seconds. KIND is `skfp` or `datamol` (FILE has one
SMILES a line: standardize and count fingerprint), `tuner` or `tuner-tautomers` (FILE is the long
table: standardize, units, qualifiers, fingerprint and endpoint matrix with plain pandas and RDKit,
in the order of MELLODDY-TUNER; the latter takes the canonical tautomer, too, as that program does).
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.MolStandardize import rdMolStandardize

_LOG_UNITS = {"uM": 1e-6, "nM": 1e-9}
_ORDER = {"<": -1, "=": 0, ">": 1}
_CHUNK = 100
_MAX_TAUTOMERS = 250


def skfp(path: Path, cores: int) -> None:
    """Scikit-fingerprints: parse, standardize, count fingerprint."""
    from skfp.fingerprints import ECFPFingerprint  # type: ignore[import-not-found]
    from skfp.preprocessing import (  # type: ignore[import-not-found]
        MolFromSmilesTransformer,
        MolStandardizer,
    )

    smiles = path.read_text(encoding="utf-8").split("\n")
    molecules = MolFromSmilesTransformer(valid_only=True, n_jobs=cores).transform(smiles)
    clean = MolStandardizer(largest_fragment_only=True, n_jobs=cores).transform(molecules)
    ECFPFingerprint(fp_size=2048, radius=2, count=True, n_jobs=cores).transform(clean)


def datamol(path: Path, cores: int) -> None:
    """Datamol: parse, standardize, SMILES, count fingerprint, in its own worker processes."""
    import datamol as dm  # type: ignore[import-not-found,import-untyped,unused-ignore]

    smiles = path.read_text(encoding="utf-8").split("\n")
    dm.parallelized(_datamol_one, smiles, n_jobs=cores, scheduler="processes", batch_size=_CHUNK)


def _datamol_one(smiles: str) -> Any:  # noqa: ANN401 - an array, of a package that is not here
    import datamol as dm  # type: ignore[import-not-found,import-untyped,unused-ignore]

    molecule = dm.to_mol(smiles)
    if molecule is None:
        return None
    molecule = dm.standardize_mol(molecule, disconnect_metals=True, uncharge=True)
    molecule = dm.keep_largest_fragment(molecule)
    dm.to_smiles(molecule)
    return dm.to_fp(molecule, fp_type="ecfp-count", fold_size=2048)


def tuner(path: Path, cores: int, *, tautomers: bool) -> None:
    """MELLODDY-TUNER's steps with plain pandas and RDKit."""
    import numpy as np
    import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]

    table = pd.read_csv(path, keep_default_na=False, dtype={"value": float})
    smiles = table["smiles"].unique()
    with ProcessPoolExecutor(cores) as pool:
        done = pool.map(partial(_tuner_one, tautomers=tautomers), smiles, chunksize=_CHUNK)
        made = dict(zip(smiles, done, strict=True))
    table["key"] = table["smiles"].map({text: found[0] for text, found in made.items()})
    table = table[table["key"] != ""].copy()
    factor = table["unit"].map(_LOG_UNITS)
    table["value"] = np.where(factor.notna(), -np.log10(table["value"] * factor), table["value"])
    table["sign"] = table["qualifier"].replace("", "=").map(_ORDER)
    groups = table.groupby(["key", "assay"])
    joined = groups.agg(value=("value", "median"), sign=("sign", _most_common)).reset_index()
    joined.pivot(index="key", columns="assay", values="value")


def _most_common(signs: Any) -> int:  # noqa: ANN401 - a pandas series, which is not here
    return int(signs.mode().iloc[0])


def _tuner_one(smiles: str, *, tautomers: bool) -> tuple[str, dict[int, int]]:
    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(smiles)
        if molecule is None:
            return "", {}
        molecule = rdMolStandardize.FragmentParent(rdMolStandardize.Cleanup(molecule))
        molecule = rdMolStandardize.Uncharger().uncharge(molecule)
        Chem.SanitizeMol(molecule)
        if tautomers:
            enumerator = rdMolStandardize.TautomerEnumerator()
            enumerator.SetMaxTautomers(_MAX_TAUTOMERS)
            molecule = enumerator.Canonicalize(molecule)
        morgan = rdFingerprintGenerator.GetMorganGenerator(radius=3, fpSize=32_000)
        return Chem.MolToSmiles(molecule), morgan.GetCountFingerprint(molecule).GetNonzeroElements()


WORK: dict[str, Callable[[Path, int], None]] = {
    "skfp": skfp,
    "datamol": datamol,
    "tuner": partial(tuner, tautomers=False),
    "tuner-tautomers": partial(tuner, tautomers=True),
}


def main() -> None:
    """Prints the seconds; the imports, which happen once, are not counted."""
    kind, path, cores = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    _import(kind)
    started_s = time.perf_counter()
    WORK[kind](path, cores)
    print(time.perf_counter() - started_s)


def _import(kind: str) -> None:
    needed = {"skfp": ("skfp.fingerprints", "skfp.preprocessing"), "datamol": ("datamol",)}
    for name in needed.get(kind, ("pandas",)):
        __import__(name)


if __name__ == "__main__":
    main()
