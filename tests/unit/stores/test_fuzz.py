from pathlib import Path

import pytest

from benchmarks.fuzz import READERS, fuzz, outcome


@pytest.mark.parametrize("name", list(READERS))
def test_the_file_that_gets_damaged_is_sound(name: str, tmp_path: Path) -> None:
    kind, suffix, profile, make = READERS[name]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(make())
    assert outcome(path, kind, profile) == "read"


@pytest.mark.parametrize("name", list(READERS))
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    assert fuzz(name, range(60), 7, tmp_path).total() == 60


@pytest.mark.slow
@pytest.mark.parametrize("name", list(READERS))
def test_many_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    assert fuzz(name, range(1500), 11, tmp_path).total() == 1500
