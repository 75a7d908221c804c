"""The default catalogue makes sense to the agent that will read it."""

import math

import pytest

from agent.assays.endpoints import EndpointIndex, transform
from agent.assays.units import parse
from agent.records import Assay, Place, Reading
from agent.wire.documents import Endpoint
from consortium.catalogue import default_catalogue

_CATALOGUE = default_catalogue("demo")


def _reading(test: str, test_type: str, subject: str, readout: str) -> Reading:
    assay = Assay(test=test, test_type=test_type, subject=subject, readout=readout)
    return Reading("1", "C", "smiles", assay, "", "", "1", "", "", "", Place(1))


@pytest.mark.parametrize("endpoint", _CATALOGUE.endpoints, ids=lambda endpoint: endpoint.id)
def test_an_endpoint_has_a_unit_a_scale_and_rules(endpoint: Endpoint) -> None:
    assert endpoint.rules
    if endpoint.kind == "classification":
        assert endpoint.positive
        assert endpoint.negative
        assert not set(endpoint.positive) & set(endpoint.negative)
        assert all(word == word.lower() for word in endpoint.positive + endpoint.negative)
        return
    parse(endpoint.unit)
    ends = transform(endpoint.low, endpoint), transform(endpoint.high, endpoint)
    assert all(map(math.isfinite, ends))
    assert ends[0] != ends[1]


@pytest.mark.parametrize(
    ("words", "endpoint"),
    [
        (("Brain_penetration", "logBB", "", ""), "logbb"),
        (("Brain penetration", "", "", "logBB"), "logbb"),
        (("Brain_penetration", "BBB", "", ""), "bbb_class"),
        (("Solubility", "", "", ""), "solubility"),
        (("Solubility", "Solubility_pH7.4", "", ""), "solubility"),
        (("Solubility", "Solubility_pH2.1", "", ""), "solubility_ph2"),
        (("Plasma protein binding", "PPB", "Human", ""), "ppb_human"),
        (("Permeability", "Caco-2", "", "Papp"), "caco2_papp"),
        (("Permeability", "", "Caco-2", "Papp"), "caco2_papp"),
        (("Metabolic_stability", "Liver_microsomes", "Rat", "CLint"), "rlm_clint"),
        (("CYP_Inhibition", "CYP3A4_MDZ", "", "IC50"), "cyp3a4_ic50"),
        (("CYP_Inhibition", "CYP3A4_TST", "", "IC50"), "cyp3a4_tst_ic50"),
        (("Toxicity", "hERG", "", "IC50"), "herg_ic50"),
        (("Toxicity", "Ames", "", "TA98_S9+"), "ames"),
        (("Efflux_transporter", "P_gp", "MDCK-MDR1", "efflux_Ratio"), "pgp_efflux_ratio"),
        (("Physicochem", "LogD", "", ""), "logd"),
    ],
)
def test_the_vocabulary_of_the_field_maps(words: tuple[str, str, str, str], endpoint: str) -> None:
    found = EndpointIndex(_CATALOGUE).resolve(_reading(*words))
    assert found is not None
    assert found.task == endpoint


@pytest.mark.parametrize(
    "words",
    [
        ("CYP_Inhibition", "CYP1A1", "", "IC50"),
        ("Toxicity", "Cytotoxicity", "", "CC50"),
        ("Physicochem", "ClogP", "", ""),
        ("Physicochem", "Hydration_free_energy", "", ""),
    ],
)
def test_what_the_consortium_does_not_share_maps_to_nothing(
    words: tuple[str, str, str, str],
) -> None:
    assert EndpointIndex(_CATALOGUE).resolve(_reading(*words)) is None
