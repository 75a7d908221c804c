from pathlib import Path

import pytest

from agent.errors import Refused, Stop
from agent.exchange.records import from_folder
from agent.files import sha256_bytes
from agent.wire.masking.record import PARTS

_VECTOR = b"\1\2\3\4" * 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in PARTS:
        (tmp_path / f"{part}.json").write_text(part)
    (tmp_path / sha256_bytes(_VECTOR)).write_bytes(_VECTOR)
    return tmp_path


def test_a_record_is_read_from_a_folder(folder: Path) -> None:
    found = from_folder(folder)
    assert found.record == {part: part.encode() for part in PARTS}
    assert found.vector_of(sha256_bytes(_VECTOR)) == _VECTOR


def test_what_is_missing_or_no_file_is_said(folder: Path) -> None:
    (folder / "sum.json").unlink()
    with pytest.raises(Stop, match=r"sum\.json.*onggi-aggregator record"):
        from_folder(folder)
    (folder / "sum.json").symlink_to(folder / "plan.json")
    with pytest.raises(Stop, match=r"sum\.json"):
        from_folder(folder)


def test_a_vector_with_other_bytes_is_refused(folder: Path) -> None:
    (folder / sha256_bytes(_VECTOR)).write_bytes(b"other")
    with pytest.raises(Refused, match="damaged_object"):
        from_folder(folder).vector_of(sha256_bytes(_VECTOR))
