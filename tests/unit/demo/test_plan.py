import pytest

from agent.demo.plan import draft
from agent.wire import strict_json
from agent.wire.masking.terms import bits_for
from consortium.plans import Draft


@pytest.mark.parametrize("masked", [False, True])
def test_the_aggregator_reads_the_drafts(masked: bool) -> None:
    read = Draft.parse(strict_json.dumps(draft(4, masked=masked)))
    assert read.recipe.rounds == 4
    assert (read.privacy.masking is not None) is masked


def test_the_masked_draft_bears_one_dropout_of_six() -> None:
    read = Draft.parse(strict_json.dumps(draft(3, masked=True)))
    rules = read.privacy.masking
    assert rules is not None
    assert rules.n_min == read.quorum == 5
    assert bits_for(6) == 24
    assert read.recipe.release_every == read.recipe.rounds
