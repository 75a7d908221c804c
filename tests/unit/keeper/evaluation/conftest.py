"""A small series whose values follow from its structures, and its profile."""

from dataclasses import dataclass
from pathlib import Path

import pytest

PROFILE = """\
version = 1
order = "ID"
[columns]
compound = "ID"
structure = "SMILES"
[[assay]]
column = "LogD"
endpoint = "logd"
transform = "identity"
[[assay]]
column = "Sol, uM"
endpoint = "solubility"
unit = "uM"
below = ["0"]
"""
_CORES = ("c1ccccc1", "C1CCNC1", "C1CCCC1", "C1CCOCC1", "C1COC1", "c1ccc2ccccc2c1")
_ENDS = ("", "O", "N", "F", "Cl", "N#C")


def structures(chains: int = 4) -> list[str]:
    return [
        f"{end}{'C' * (chain + 1)}{core}"
        for chain in range(chains)
        for core in _CORES
        for end in _ENDS
    ]


@dataclass(frozen=True)
class Series:
    folder: Path
    profile: Path

    def write(self, name: str, smiles: list[str], first: int = 0) -> Path:
        path = self.folder / name
        lines = ['ID,SMILES,LogD,"Sol, uM"']
        for at, one in enumerate(smiles, start=first):
            sol = 0 if at % 9 == 0 else 10.0 * one.count("O") + at % 5 + 1
            lines.append(f"X-{at:05d},{one},{0.5 * one.count('C') - one.count('O'):.2f},{sol}")
        path.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture
def series(tmp_path: Path) -> Series:
    profile = tmp_path / "series.toml"
    profile.write_text(PROFILE)
    return Series(tmp_path, profile)
