import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.features.golden import GOLDEN_SMILES, raw_molecules
from agent.features.reference import REFERENCE_SMILES

ROOT = Path(__file__).parents[3]


def test_the_golden_molecules_are_among_the_reference_molecules() -> None:
    assert set(GOLDEN_SMILES) <= set(REFERENCE_SMILES)
    assert len(set(GOLDEN_SMILES)) == len(GOLDEN_SMILES) >= 16


def test_the_shipped_data_is_what_this_rdkit_says() -> None:
    """`python -m agent.features.golden > consortium/golden.json` makes it anew."""
    command = [sys.executable, "-m", "agent.features.golden"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    shipped = json.loads((ROOT / "consortium" / "golden.json").read_bytes())
    for ours, theirs in zip(made["molecules"], shipped["molecules"], strict=True):
        assert ours["smiles"] == theirs["smiles"]
        assert ours["layers"] == theirs["layers"]
        assert ours["descriptors"] == pytest.approx(theirs["descriptors"], abs=1e-9)


def test_a_molecule_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="bad_structure"):
        raw_molecules(["CC(C"])
