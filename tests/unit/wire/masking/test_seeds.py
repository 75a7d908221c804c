"""Seeds of pairs: the same at both ends, other ones wherever anything else is bound."""

from dataclasses import replace

import pytest

from agent.errors import Refused
from agent.wire.masking.seeds import Binding, RoundSecrets, check_public, commitment

_A, _B, _C = (RoundSecrets(bytes([n]) * 32 + bytes([n + 100]) * 32) for n in (1, 2, 3))
_BOUND = Binding("p.r1.a1", "11" * 32, "22" * 32)


def _seed(bound: Binding, a: str = "silo-a", b: str = "silo-b") -> bytes:
    return _A.pair_seed(_B.mask_key, bound, a, b)


def test_both_ends_have_one_seed() -> None:
    assert _seed(_BOUND) == _B.pair_seed(_A.mask_key, _BOUND, "silo-b", "silo-a")
    assert len(_seed(_BOUND)) == 32


def test_whatever_is_bound_makes_another_seed() -> None:
    others = {
        _seed(_BOUND),
        _seed(replace(_BOUND, round_id="p.r1.a2")),
        _seed(replace(_BOUND, key_set_sha256="33" * 32)),
        _seed(replace(_BOUND, base_sha256="33" * 32)),
        _seed(_BOUND, b="silo-c"),
        _A.pair_seed(_C.mask_key, _BOUND, "silo-a", "silo-b"),
    }
    assert len(others) == 6


def test_no_two_lists_of_fields_give_the_same_bytes() -> None:
    assert _BOUND.info("mask", "a", "bc") != _BOUND.info("mask", "ab", "c")
    assert _BOUND.info("mask", "a") != _BOUND.info("shares", "a")


def test_shares_open_for_whom_they_were_sealed() -> None:
    sealed = _A.seal(b"shares", _B.share_key, _BOUND, "silo-a", "silo-b")
    opened = _B.unseal(sealed, _A.share_key, _BOUND, "silo-b", "silo-a")
    assert opened == b"shares"
    again = _A.seal(b"shares", _B.share_key, _BOUND, "silo-a", "silo-b")
    assert again != sealed


@pytest.mark.parametrize("cut", [0, 5, 12, 20])
def test_shares_that_were_cut_or_sent_back_do_not_open(cut: int) -> None:
    sealed = _A.seal(b"shares", _B.share_key, _BOUND, "silo-a", "silo-b")
    with pytest.raises(Refused, match="bad_shares"):
        _B.unseal(sealed[:cut], _A.share_key, _BOUND, "silo-b", "silo-a")
    with pytest.raises(Refused, match="bad_shares"):
        _A.unseal(sealed, _B.share_key, _BOUND, "silo-a", "silo-b")  # in the other direction
    other = replace(_BOUND, round_id="p.r9.a1")
    with pytest.raises(Refused, match="bad_shares"):
        _B.unseal(sealed, _A.share_key, other, "silo-b", "silo-a")


def test_a_key_with_which_every_secret_is_zero_is_refused() -> None:
    for point in ("00" * 32, "01" + "00" * 31):
        with pytest.raises(Refused, match="bad_key"):
            check_public(point)
    check_public(_A.mask_key)


def test_commitments_tell_seeds_apart_and_are_no_seeds() -> None:
    assert commitment(bytes(32)) != commitment(b"\x01" + bytes(31))
    assert commitment(bytes(32)) != bytes(32).hex()


def test_two_keys_are_fresh_and_different() -> None:
    one, other = RoundSecrets.fresh(), RoundSecrets.fresh()
    assert len({one.mask_key, one.share_key, other.mask_key, other.share_key}) == 4
    assert "hidden" in repr(one)
