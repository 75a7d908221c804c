import numpy as np

from agent.learning.schedule import batches_of, dropout_seed
from agent.learning.settings import Settings

_SETTINGS = Settings(epochs=3, batch_size=8, seed=5)


def test_every_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    rows = np.arange(0, 60, 3)
    epochs = [np.concatenate(batches_of(rows, _SETTINGS, epoch)) for epoch in range(3)]
    assert all(np.array_equal(np.sort(epoch), rows) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(np.concatenate(batches_of(rows, _SETTINGS, 1)), epochs[1])


def test_batches_are_as_even_as_can_be() -> None:
    assert [len(batch) for batch in batches_of(np.arange(20), _SETTINGS, 0)] == [7, 7, 6]


def test_no_two_steps_share_a_seed() -> None:
    places = [(rank, epoch, step) for rank in (0, 1) for epoch in (0, 1) for step in range(9)]
    assert len({dropout_seed(_SETTINGS, *place) for place in places}) == len(places)
