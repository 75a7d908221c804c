import csv
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.stores.delimited import bounded, checked, encoding_of, separator_of

CHUNK = 1 << 20


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"a,b\n", "utf-8-sig"),
        ("이름,값\n".encode("utf-8-sig"), "utf-8-sig"),
        ("이름,값\n".encode("cp949"), "cp949"),
        # A character that lies across two chunks.
        (b"x" * (CHUNK - 1) + "값".encode(), "utf-8-sig"),
    ],
)
def test_the_encoding_is_the_first_that_fits_all_of_the_file(
    tmp_path: Path, content: bytes, name: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert encoding_of(path) == name


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"a\xff\xff", "unknown_encoding"), (b"a\0b", "unreadable_file"), (None, "unreadable_file")],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused) as refused:
        encoding_of(path)
    assert refused.value.code == code


def test_the_separator_is_the_one_that_makes_most_of_the_header() -> None:
    assert separator_of('id;"a,b";x', (",", ";", "\t")) == ";"
    assert separator_of("alone", (",", ";")) == ","


def test_a_fault_names_its_row() -> None:
    rows = checked(csv.reader(["a,b\n", 'c,"d" e\n'], strict=True))
    assert next(rows) == ["a", "b"]
    with pytest.raises(Refused, match="Row 2 cannot be read"):
        next(rows)


def test_a_header_has_an_end() -> None:
    assert bounded(["a"]) == ["a"]
    with pytest.raises(Refused, match="over 16384 columns"):
        bounded(["a"] * 16_385)
