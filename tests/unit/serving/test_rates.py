import pytest

from agent.serving import rates
from agent.serving.rates import Rates


def test_a_minutes_requests_pass_at_once_and_then_as_they_come() -> None:
    bucket = Rates()
    assert [bucket.take("a", 3, 100.0) for _ in range(3)] == [0.0] * 3
    assert bucket.take("a", 3, 100.0) == 20.0
    assert bucket.take("a", 3, 110.0) == pytest.approx(10.0)
    assert bucket.take("a", 3, 120.1) == 0.0
    assert bucket.take("a", 3, 120.1) > 19


def test_a_bucket_holds_no_more_than_a_minute() -> None:
    bucket = Rates()
    bucket.take("a", 2, 0.0)
    assert [bucket.take("a", 2, 9999.0) for _ in range(2)] == [0.0] * 2
    assert bucket.take("a", 2, 9999.0) > 0


def test_callers_do_not_share_and_zero_is_no_limit() -> None:
    bucket = Rates()
    bucket.take("a", 1, 0.0)
    assert bucket.take("a", 1, 0.0) > 0
    assert bucket.take("b", 1, 0.0) == 0.0
    assert [bucket.take("c", 0, 0.0) for _ in range(100)] == [0.0] * 100


def test_who_stays_away_is_forgotten_and_who_waits_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "_MAX_BUCKETS", 2)
    bucket = Rates()
    bucket.take("old", 1, 0.0)
    bucket.take("busy", 1, 100.0)
    bucket.take("new", 1, 101.0)
    assert bucket.take("busy", 1, 101.0) > 0
    assert set(bucket._buckets) == {"busy", "new"}
