"""What an enrolment left, and the small files of numbers."""

from pathlib import Path

import pytest

from agent.errors import Stop
from agent.exchange.places import Places, read_enrolment, read_number_by_name, trusted_certificates


def test_a_damaged_note_of_an_enrolment_says_what_to_do(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    places.trust.mkdir()
    places.enrolment.write_bytes(b"{}")
    with pytest.raises(Stop, match="restore it from a backup"):
        read_enrolment(places)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, {}),
        (b"no json", {}),
        (b"[1]", {}),
        (b'{"a":1,"b":"x","c":2.5}', {"a": 1.0, "c": 2.5}),
    ],
)
def test_numbers_are_read_as_far_as_they_are_some(
    tmp_path: Path, content: bytes | None, found: dict[str, float]
) -> None:
    path = tmp_path / "numbers.json"
    if content is not None:
        path.write_bytes(content)
    assert read_number_by_name(path) == found


def test_a_companys_authority_alone_will_do(tmp_path: Path) -> None:
    places = Places.under(tmp_path)
    places.courier.mkdir()
    (tmp_path / "company.pem").write_bytes(b"company\n")
    joined = trusted_certificates(places, tmp_path / "company.pem")
    assert joined is not None
    assert joined.read_bytes() == b"company\n"
