import polars as pl
import pytest

from agent.keeper.evaluation.split import held_back, newest_compounds, scaffold_compounds

_FRAME = pl.DataFrame(
    {
        "compound_key": [f"k{at}" for at in range(100)] + ["k0"],
        "fold_group": [f"ring{at % 20}" for at in range(100)] + ["ring0"],
        "date": [f"{at:03d}" for at in range(100)] + ["999"],
    }
)


def test_the_newest_are_those_first_measured_last() -> None:
    # k0 was measured again at the end, which does not make it new.
    assert newest_compounds(_FRAME, 0.2) == {f"k{at}" for at in range(80, 100)}


def test_scaffolds_stay_together() -> None:
    held = scaffold_compounds(_FRAME, 5)
    groups = {int(key[1:]) % 20 for key in held}
    assert 0 < len(held) < 100
    assert held == {f"k{at}" for at in range(100) if at % 20 in groups}


@pytest.mark.parametrize("date", ["", "2026-01-01"])
def test_without_two_dates_scaffolds_are_held_back(date: str) -> None:
    timeless = _FRAME.with_columns(date=pl.lit(date))
    assert newest_compounds(timeless, 0.2) == frozenset()
    assert held_back(timeless, 0.2) == scaffold_compounds(_FRAME, 5)
    assert held_back(_FRAME, 0.2) == newest_compounds(_FRAME, 0.2)
