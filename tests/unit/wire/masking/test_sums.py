"""A published sum: whoever has the vectors computes it again, and sees what is false in it."""

import numpy as np
import pytest

from agent.errors import Refused
from agent.wire.masking.sums import replay
from tests.kit.masking import UNMASK_BY, Round, name, plain_sum, setting, update


class Done:
    """A round of seven with one dropout, and what came of it."""

    def __init__(self) -> None:
        self.round = Round(setting(7))
        upload_set = self.round.step_uploads(self.round.step_keys(), name(2))
        self.round.step_shares(self.round.step_acks(upload_set))
        done = self.round.aggregator.publish(self.round.vector_of, UNMASK_BY)
        u1, u2 = self.round.aggregator.u1, self.round.aggregator.u2
        assert done is not None
        assert u1 is not None
        assert u2 is not None
        self.publication, self.total = done
        self.u1, self.u2 = u1, u2

    def replay(self, **changes: object) -> None:
        changed = self.publication.model_copy(update=changes)
        replay(changed, self.u1, self.u2, self.round.vector_of)


@pytest.fixture(scope="module")
def done() -> Done:
    return Done()


def test_any_silo_replays_the_sum_bit_by_bit(done: Done) -> None:
    sums = replay(done.publication, done.u1, done.u2, done.round.vector_of)
    again = done.u1.layout.read(done.total)
    for tensor, values in sums.products.items():
        assert np.array_equal(values, again.products[tensor])
    plain = plain_sum(update(silo) for silo in done.u2.uploads)
    assert all(np.allclose(sums.products[t], v, atol=1e-5) for t, v in plain.items())


def test_the_masked_sum_is_the_plain_one_but_for_rounding(done: Done) -> None:
    """Relative error in the L2 norm over the trunk, whose clip is a tenth of the kit's."""
    sums = done.u1.layout.read(done.total)
    plain = plain_sum(update(silo) for silo in done.u2.uploads)
    trunk = [tensor for tensor in plain if tensor.startswith("trunk.")]
    off = np.concatenate([(sums.products[t] - plain[t]).ravel() for t in trunk])
    whole = np.concatenate([plain[t].ravel() for t in trunk])
    assert np.linalg.norm(off) <= 1e-5 * np.linalg.norm(whole)


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("manifest_sha256", "wrong_manifest"),
        ("key_set_sha256", "wrong_key_set"),
        ("upload_set_sha256", "wrong_upload_set"),
        ("sum_sha256", "wrong_sum"),
    ],
)
def test_a_sum_of_something_else_is_refused(done: Done, field: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        done.replay(**{field: "00" * 32})
    assert caught.value.code == code


def test_a_sum_of_another_round_is_refused(done: Done) -> None:
    with pytest.raises(Refused, match="wrong_round"):
        done.replay(round_id="p.r9.a1")


def test_false_missing_or_needless_seeds_are_refused(done: Done) -> None:
    own, pairs = done.publication.own, done.publication.pairs
    wrong: list[dict[str, object]] = [
        {"own": own | {name(0): "00" * 32}},
        {"own": {silo: seed for silo, seed in own.items() if silo != name(0)}},
        {"own": own | {name(2): "00" * 32}},
        {"pairs": {}},
        {"pairs": pairs | {name(0): pairs[name(0)] | {name(1): "00" * 32}}},
        {"pairs": pairs | {name(0): {name(2): "00" * 32}}},
    ]
    for changes in wrong:
        with pytest.raises(Refused, match="wrong_seeds"):
            done.replay(**changes)


def test_a_vector_that_was_changed_or_cut_is_refused(done: Done) -> None:
    sound = done.round.vectors[name(0)]
    for wrong in (sound[:-4], bytes(1) + sound[1:], sound + bytes(4)):
        vectors = done.round.vectors | {name(0): wrong}
        with pytest.raises(Refused, match="wrong_vector"):
            replay(done.publication, done.u1, done.u2, vectors.__getitem__)
