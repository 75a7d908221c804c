from agent.assays.structures import identified
from agent.records import Compound, InvalidStructure
from agent.serving.answers import Answer, Estimate
from agent.serving.survey import approved_drugs, percentiles


def test_the_drugs_are_compounds_each_once() -> None:
    drugs = approved_drugs()
    assert 200 <= len(drugs) <= 400
    some = [identified(smiles, "smiles") for smiles in drugs[::20]]
    assert all(isinstance(drug, Compound) and drug.smiles in drugs for drug in some)
    assert len(set(drugs)) == len(drugs)


def test_quantiles_go_from_the_least_to_the_greatest() -> None:
    answers: list[Answer] = [
        {"logd": Estimate(float(value), 0.0, "")} for value in reversed(range(201))
    ]
    answers.insert(3, InvalidStructure("parse", "No."))
    said = percentiles(answers)
    assert said["n"] == 201
    assert said["endpoints"]["logd"] == [2.0 * step for step in range(101)]


def test_nothing_predicted_is_no_distribution() -> None:
    assert percentiles([InvalidStructure("parse", "No.")]) == {"n": 0, "endpoints": {}}
