"""The profiles of the data sets are valid, complete, and name endpoints that exist."""

from pathlib import Path

import pytest

from agent.assays.endpoints import EndpointIndex
from agent.assays.units import parse
from agent.errors import Stop
from agent.stores.profile import load_profile
from benchmarks.accounts import PROFILES, accounts, profiles_by_file
from consortium.catalogue import default_catalogue

_OTHERS = {"files"}
NAMES = sorted(path.stem for path in PROFILES.glob("*.toml") if path.stem not in _OTHERS)


def test_every_profile_reads_a_file() -> None:
    assert sorted(profiles_by_file().values()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_names_known_endpoints_and_units(name: str) -> None:
    profile = load_profile(PROFILES / f"{name}.toml")
    tasks = EndpointIndex(default_catalogue("test"), profile.own_endpoints).tasks
    for entry in (*profile.assay, *profile.map):
        assert entry.endpoint in tasks
        assert parse(entry.unit).quantity


def test_a_file_is_counted_and_balances(tmp_path: Path) -> None:
    (tmp_path / "ncats").mkdir()
    (tmp_path / "ncats" / "rlm_public.csv").write_text(
        "sample_id,canonical_smiles,half_life (minutes)\nA,CCO,> 30.0\nB,CCC,1.5\nC,X,2\nD,CC,\n"
    )
    (found,) = accounts(tmp_path).values()
    assert (found["read"], found["used"], found["blank"]) == (4, 2, 1)
    assert found["set_aside"] == {"structure_parse": 1}
    assert found["tasks"] == {"private:rlm_half_life": {"n": 2, "censored": 1}}


def test_a_file_without_a_profile_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("a,b\n")
    with pytest.raises(Stop, match=r"new\.csv"):
        accounts(tmp_path)
