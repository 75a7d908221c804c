"""Sets of messages as both ends read them."""

from agent.wire.masking.documents import KeySet
from agent.wire.masking.sets import read_key_set, read_upload_set, write_key_set
from tests.kit.masking import Round, name, setting


def test_equal_messages_make_equal_sets_whatever_their_order() -> None:
    one = Round(setting(6))
    content = one.step_keys()
    keys = read_key_set(one.setting, content)
    backwards = dict(reversed(list(keys.messages.items())))
    assert write_key_set(one.setting, backwards) == content
    assert list(keys.points.values()) == [1, 2, 3, 4, 5, 6]


def test_a_groups_contributors_are_those_who_said_so() -> None:
    few = {name(5): ("trunk",)}
    one = Round(setting(6), trains=few)
    upload_set = one.step_uploads(one.step_keys())
    u1 = one.aggregator.u1
    assert u1 is not None
    contributors = read_upload_set(u1, upload_set).contributors
    assert set(contributors["trunk"]) == set(one.names)
    assert set(contributors["head.logbb"]) == set(one.names[:5])


def test_a_set_is_bounded() -> None:
    assert KeySet.model_fields["keys"].metadata[0].max_length == 128
