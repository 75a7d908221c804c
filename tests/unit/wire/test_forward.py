import numpy as np
import pytest

from agent.features.fast import Featurizer
from agent.learning.score import predict
from agent.learning.tasks import TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.forward import forward
from agent.wire.network import initial_weights
from tests.kit.consortium import FEATURES

HEADS = ("logd", "ames")
SMILES = ("CCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O")


@pytest.mark.parametrize("hidden", [(8,), (16, 8), (16, 8, 8)])
def test_it_answers_what_torch_answers(hidden: tuple[int, ...]) -> None:
    network = NetworkSpec(hidden=hidden, dropout=0.3, seed=3)
    random = np.random.default_rng(1)
    weights = {
        name: tensor + random.normal(0, 0.3, tensor.shape).astype(np.float32)
        for name, tensor in initial_weights(network, FEATURES, HEADS).items()
    }
    rows, _ = Featurizer(FEATURES).featurize_smiles(SMILES)
    said = predict(weights, network, rows, [TaskSpec(head, "regression") for head in HEADS], "cpu")
    counts = rows.dense_counts(FEATURES.hash_size).astype(np.float64)
    found = forward(weights, network, counts, rows.dense.astype(np.float64), HEADS)
    assert found.shape == (len(SMILES), len(HEADS))
    np.testing.assert_allclose(found, said, rtol=1e-4, atol=1e-5)
