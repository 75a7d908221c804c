import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from rdkit import Chem

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.reference import REFERENCE_SMILES
from agent.features.rows import Features
from agent.learning.score import predict as torch_predict
from agent.learning.tasks import TaskSpec
from agent.records import InvalidStructure, Structure
from agent.releases.card import ModelCard
from agent.releases.folder import CARD, MODEL
from agent.serving.answers import Answer, Explanation
from agent.serving.predictor import MAX_BATCH, Predictor
from agent.wire.network import initial_weights

Build = Callable[..., ModelCard]
SMILES: list[tuple[str, Structure]] = [(text, "smiles") for text in REFERENCE_SMILES]
MOLBLOCK = """
  test

  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0
    1.5000    0.0000    0.0000 O   0  0
  1  2  1  0
M  END
"""


@pytest.fixture
def predictor(install: Build, releases: Path) -> Predictor:
    install("r1", 1)
    return Predictor.load(releases / "r1", threads=1)


def _values(answer: Answer) -> dict[str, float]:
    assert isinstance(answer, dict)
    return {task: estimate.value for task, estimate in answer.items()}


def test_it_answers_what_the_trained_network_answers(predictor: Predictor) -> None:
    card = predictor.card
    names = [task.task for task in card.tasks]
    weights = initial_weights(card.network, card.features, names)
    features, _ = Featurizer(card.features).featurize_smiles(REFERENCE_SMILES)
    specs = [TaskSpec(task.task, task.kind, unit=task.unit) for task in card.tasks]
    expected = torch_predict(weights, card.network, features, specs, device="cpu")
    answers = predictor.predict(SMILES)
    found = [
        [estimate.model_value for estimate in answer.values()]
        for answer in answers
        if isinstance(answer, dict)
    ]
    np.testing.assert_allclose(found, expected, rtol=6e-5, atol=2e-6)


def test_a_graph_without_a_spread_still_answers(install: Build, releases: Path) -> None:
    install("r1", 1)
    graph = releases / "r1" / MODEL
    expected = Predictor.load(releases / "r1", threads=1).predict(SMILES[:3])
    model = onnx.load(graph)
    del model.graph.output[1]
    graph.chmod(0o640)
    onnx.save(model, graph)
    assert Predictor.load(releases / "r1", threads=1).predict(SMILES[:3]) == expected


def test_native_values_follow_from_the_model_scale(predictor: Predictor) -> None:
    (answer,) = predictor.predict([("CCO", "smiles")])
    assert isinstance(answer, dict)
    assert list(answer) == ["logd", "solubility", "clint", "bbb_class"]
    solubility = answer["solubility"]
    assert solubility.unit == "uM"
    assert solubility.value == pytest.approx(10 ** (6 - solubility.model_value), rel=2e-4)
    assert 0 < answer["bbb_class"].value < 1
    assert answer["logd"].value == answer["logd"].model_value


def test_a_structure_gets_the_same_answer_whatever_is_asked_beside_it(
    predictor: Predictor,
) -> None:
    alone = [predictor.predict([entry])[0] for entry in SMILES]
    many = (SMILES * 5)[:256]
    together = predictor.predict(many)
    assert together == (alone * 5)[:256]
    assert predictor.predict(SMILES[7:12] + SMILES[:7]) == alone[7:12] + alone[:7]


def test_what_cannot_be_used_keeps_its_place_and_its_reason(predictor: Predictor) -> None:
    asked: list[tuple[str, Structure]] = [
        ("CCO", "smiles"),
        ("not a smiles", "smiles"),
        ("", "smiles"),
        ("C" * 6000, "smiles"),
        (MOLBLOCK, "molblock"),
        ("CCO", "molblock"),
    ]
    answers = predictor.predict(asked)
    steps = [a.step if isinstance(a, InvalidStructure) else "" for a in answers]
    assert steps == ["", "parse", "size", "length", "", "parse"]
    assert answers[4] != answers[0]  # methanol is not ethanol


def test_an_explanation_follows_the_atoms_of_its_smiles(predictor: Predictor) -> None:
    one, other = (predictor.explain((text, "smiles"), None) for text in ("OCC", "CCO.Cl"))
    assert isinstance(one, Explanation)
    assert one == other  # the salt goes, and the order is that of the SMILES in the answer
    assert (one.smiles, one.svg) == ("CCO", "")
    assert list(one.contributions) == ["logd", "solubility", "clint", "bbb_class"]
    ring = predictor.explain(("c1ccccc1", "smiles"), "logd")
    assert isinstance(ring, Explanation)
    assert list(ring.contributions) == ["logd"]
    assert len(set(ring.contributions["logd"])) == 1  # of one kind, all six
    assert ring.svg.startswith("<svg")


def test_a_contribution_is_what_the_prediction_loses(predictor: Predictor) -> None:
    alone = predictor.explain(("C", "smiles"), "logd")
    assert isinstance(alone, Explanation)
    features = predictor._featurizer.featurize([Chem.MolFromSmiles("C")])
    none = Features(
        np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), features.dense
    )
    falls = predictor._run(features)[0][0, 0] - predictor._run(none)[0][0, 0]
    assert alone.contributions["logd"] == pytest.approx([falls], rel=1e-4)


def test_what_cannot_be_explained_says_so(predictor: Predictor) -> None:
    assert predictor.explain(("no", "smiles"), None) == predictor.predict([("no", "smiles")])[0]
    with pytest.raises(Refused, match="unknown_endpoint"):
        predictor.explain(("CCO", "smiles"), "nothing")


def test_only_bad_structures_or_none_at_all(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    assert len(predictor.predict([("x", "smiles")] * 3)) == 3


def test_more_than_one_batch_keeps_the_order(install: Build, releases: Path) -> None:
    install("r1", 1)
    predictor = Predictor.load(releases / "r1", threads=1)
    asked: list[tuple[str, Structure]] = [("CCO", "smiles"), ("c1ccccc1", "smiles")]
    answers = predictor.predict(asked * MAX_BATCH)
    assert answers == predictor.predict(asked) * MAX_BATCH


def test_an_answer_that_is_no_number_is_an_error_in_its_place(
    install: Build, releases: Path
) -> None:
    install("r1", 1, level=-1e6)
    answer = Predictor.load(releases / "r1", threads=1).predict([("CCO", "smiles")])[0]
    assert answer == InvalidStructure("predict", "solubility came out as no finite number.")


def _rewrite_card(folder: Path, **changes: object) -> None:
    path = folder / CARD
    content = json.loads(path.read_bytes()) | changes
    path.unlink()
    path.write_text(json.dumps(content))


def test_a_folder_of_another_name_is_refused(install: Build, releases: Path) -> None:
    install("r1", 1)
    (releases / "r1").rename(releases / "r2")
    with pytest.raises(Refused, match="wrong_card"):
        Predictor.load(releases / "r2", threads=1)


def test_a_damaged_graph_is_refused(install: Build, releases: Path) -> None:
    install("r1", 1)
    model = releases / "r1" / MODEL
    content = model.read_bytes()
    model.unlink()
    for damaged in (b"", b"no graph", content[: len(content) // 2]):
        model.write_bytes(damaged)
        with pytest.raises(Refused, match=r"unloadable_model|wrong_graph"):
            Predictor.load(releases / "r1", threads=1)
    model.unlink()
    with pytest.raises(Refused, match="unloadable_model"):
        Predictor.load(releases / "r1", threads=1)


def test_a_graph_that_is_not_the_cards_is_refused(install: Build, releases: Path) -> None:
    card = install("r1", 1)
    tasks = [task.model_dump() for task in card.tasks]
    features = card.features.model_dump()
    wrong: list[tuple[str, dict[str, object]]] = [
        ("tasks", {"tasks": [*tasks[1:], tasks[0]]}),
        ("output", {"tasks": tasks[1:]}),
        ("inputs", {"features": features | {"hash_size": 512}}),
        ("features", {"features": features | {"clip": 4.0}}),
    ]
    whole: dict[str, object] = {"tasks": tasks, "features": features}
    for part, changes in wrong:
        _rewrite_card(releases / "r1", **(whole | changes))
        with pytest.raises(Refused, match="wrong_graph") as caught:
            Predictor.load(releases / "r1", threads=1)
        assert part in caught.value.reason


def test_a_graph_that_does_not_say_its_tasks_is_refused(install: Build, releases: Path) -> None:
    install("r1", 1)
    path = releases / "r1" / MODEL
    model = onnx.load(path)
    del model.metadata_props[:]
    path.unlink()
    onnx.save(model, path)
    with pytest.raises(Refused, match="tasks do not fit"):
        Predictor.load(releases / "r1", threads=1)
