from datetime import datetime

import pytest

from agent.keeper.hours import Hours


def _has(text: str, hour: int, minute: int = 0) -> bool:
    hours = Hours.parse(text)
    assert hours is not None
    return hours.has(datetime(2026, 3, 1, hour, minute))  # noqa: DTZ001 - local on purpose


def test_an_empty_text_means_always() -> None:
    assert Hours.parse("") is None


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("18-07", (18, 23, 0, 6), (7, 12, 17)),
        ("09-17", (9, 16), (8, 17, 0)),
        ("20-24", (20, 23), (0, 19)),
        ("00-24", (0, 12, 23), ()),
        ("05-05", (4, 5, 6), ()),
    ],
)
def test_hours_of_the_day(text: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    assert all(_has(text, hour) for hour in inside)
    assert not any(_has(text, hour) for hour in outside)


def test_the_last_hour_is_the_end() -> None:
    assert _has("18-07", 6, 59)
    assert not _has("18-07", 7, 0)
    assert str(Hours.parse("18-07")) == "18:00 to 07:00"
