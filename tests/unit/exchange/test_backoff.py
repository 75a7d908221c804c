"""Back-off: longer and longer, jittered, capped, and reset."""

from agent.exchange.backoff import BackOff


def test_waits_grow_to_the_cap_and_start_again() -> None:
    back_off = BackOff(first_s=1.0, cap_s=10.0)
    for longest in (1, 2, 4, 8, 10, 10):
        assert longest / 2 <= back_off.failed() <= longest
    back_off.succeeded()
    assert back_off.failed() <= 1.0


def test_a_very_long_outage_overflows_nothing() -> None:
    back_off = BackOff()
    assert all(back_off.failed() <= 60.0 for _ in range(2000))


def test_two_silos_do_not_come_back_together() -> None:
    assert len({BackOff().failed() for _ in range(20)}) > 10
