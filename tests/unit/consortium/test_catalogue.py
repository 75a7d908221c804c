"""The default catalogue makes sense to the agent that will read it."""

import math

import pytest

from agent.assays.endpoints import EndpointIndex, transform
from agent.assays.units import parse
from agent.records import Place, Reading
from agent.stores.conditions import Words, assay_of
from agent.wire.documents import Endpoint
from consortium.catalogue import default_catalogue

_CATALOGUE = default_catalogue("demo")


_INDEX = EndpointIndex(_CATALOGUE)


def _reading(test: str, test_type: str, subject: str, readout: str, **conditions: str) -> Reading:
    assay = assay_of(Words(test, test_type, subject, readout, **conditions))
    return Reading("1", "C", "smiles", assay, "", "", "1", "", "", "", Place(1))


def _task(words: tuple[str, str, str, str], **conditions: str) -> str | None:
    found = _INDEX.resolve(_reading(*words, **conditions))
    return found.task if found else None


@pytest.mark.parametrize("endpoint", _CATALOGUE.endpoints, ids=lambda endpoint: endpoint.id)
def test_an_endpoint_has_a_unit_a_scale_and_rules(endpoint: Endpoint) -> None:
    assert endpoint.rules
    assert all(endpoint.synonyms)
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
    assert _task(words) == endpoint


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("CYP_Inhibition", "CYP1A1", "", "IC50"), "CYP1A1"),
        (("CYP Inhibition", "CYP2C8", "Human", "IC50"), "CYP2C8"),
        (("Toxicity", "Cytotoxicity", "", "CC50"), "cytotoxicity"),
        (("Toxicity", "Cytotoxicity_HepG2", "", "CC50"), "cytotoxicity"),
        (("Toxicity", "Genetoxicity", "", "SOS Chromotest"), "genotoxicity"),
        (("Metabolic_stability", "Hepatocytes_Phase_II", "Human", "T1/2"), "phase II"),
        (("In_vivo_PK", "PK_po", "Rat", "AUClast"), "depend on the dose"),
        (("Physicochem", "ClogP", "", ""), "calculated"),
        (("Physicochem", "Hydration_free_energy", "", ""), ""),
    ],
)
def test_what_the_consortium_does_not_share_says_why(
    words: tuple[str, str, str, str], reason: str
) -> None:
    reading = _reading(*words)
    assert _INDEX.resolve(reading) is None
    found = _INDEX.why_unshared(reading.assay)
    assert reason in found
    assert bool(found) == bool(reason)


# Every test type of the standard's allowed values that a readout of its family goes with.
_FAMILIES = {
    "Brain_penetration": (
        ("BBB", "BBB_PAMPA", "Total_BBB", "Unbound_BBB"),
        ("Kp", "Kp_uu", "Papp"),
    ),
    "CYP_Inhibition": (
        (
            *("CYP1A1", "CYP1A2", "CYP2B6", "CYP2C19", "CYP2C8", "CYP2C9", "CYP2D6"),
            *("CYP3A4_MDZ", "CYP3A4_TST"),
        ),
        ("IC50", "Inhibition", "Inhibition_10uM", "Inhibition_1uM"),
    ),
    "Efflux_transporter": (("BCRP", "P_gp"), ("efflux_Ratio", "IC50", "Papp", "")),
    "In_vivo_PK": (
        ("PK_ip", "PK_iv", "PK_po", "PK_sc"),
        (
            *("AUCExtra", "AUCinf", "AUClast", "BA", "Clearance", "Clearance/F", "Cmax", "Co"),
            *("MRT", "Rsq", "T1/2", "Tmax", "Vd", "Vd/F", "Vss", "Vz"),
        ),
    ),
    "Metabolic_stability": (
        ("Hepatocytes", "Hepatocytes_Phase_II", "Liver_Microsomes_Phase_II", "Liver_microsomes"),
        ("CLhep", "CLint", "Remaining_10min", "Remaining_30min", "Remaining_60min", "T1/2"),
    ),
    "Permeability": (("Caco-2", "MDCK", "PAMPA"), ("Papp", "Pe", "efflux_Ratio")),
    "Physicochem": (("LogD", "LogP", "ClogP", "pKa"), ("",)),
    "Plasma_protein_binding": (("PPB", ""), ("", "fu,p")),
    "Plasma_stability": (("Plasma_stability", ""), ("Remaining_30min", "T1/2")),
    "Solubility": (
        ("Solubility", "Solubility_pH7.4", "Solubility_pH2.1", "Solubility_FaSSIF"),
        ("",),
    ),
    "Toxicity": (
        ("Ames", "Cytotoxicity", "Genetoxicity", "hERG"),
        ("CC50", "IC50", "SOS Chromotest", "TA98_S9+", "WP2uvrA(pKM101)_S9-"),
    ),
}
_SUBJECTS = ("", "Human", "Monkey", "Dog", "Rat", "Mouse", "Caco-2", "MDCK II", "MDCK-MDR1", "LLC")


@pytest.mark.parametrize("family", _FAMILIES)
def test_every_family_maps_somewhere_and_never_to_two_endpoints(family: str) -> None:
    types, readouts = _FAMILIES[family]
    tasks = {
        _task((family, test_type, subject, readout))  # raises where two endpoints fit alike
        for test_type in types
        for subject in _SUBJECTS
        for readout in readouts
    }
    assert tasks - {None}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ("Plasma_protein_binding", "PPB", "Human", ""),
            ("Plasma_protein_binding", "PPB", "Rat", ""),
        ),
        (("Solubility", "Solubility_pH7.4", "", ""), ("Solubility", "Solubility_pH2.1", "", "")),
        (("Permeability", "PAMPA", "", "Papp"), ("Permeability", "PAMPA_pH5", "", "Papp")),
        (
            ("Permeability", "Caco-2", "", "Papp(AtoB)"),
            ("Permeability", "Caco-2", "", "Papp(BtoA)"),
        ),
        (
            ("CYP_Inhibition", "CYP2D6", "", "Inhibition_1uM"),
            ("CYP_Inhibition", "CYP2D6", "", "Inhibition_10uM"),
        ),
        (
            ("Plasma_protein_binding", "PPB", "Human", ""),
            ("Plasma_protein_binding", "PPB", "Human", "fu,p"),
        ),
        (("Toxicity", "hERG", "", "IC50"), ("Toxicity", "hERG_FP", "", "IC50")),
        (("In_vivo_PK", "PK_iv", "Rat", "T1/2"), ("In_vivo_PK", "PK_po", "Rat", "T1/2")),
    ],
)
def test_what_differs_never_meets(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    assert _task(one) is not None
    assert _task(one) != _task(other)


@pytest.mark.parametrize("condition", ["pH 3", "pH 5.5; note=24 h", "with 5 % DMSO"])
def test_unforeseen_condition_maps_to_nothing(condition: str) -> None:
    assert _task(("Solubility", "Solubility", "", ""), condition=condition) is None


def test_template_and_newer_names_meet() -> None:
    old = ("Pharmacokinetics", "PK_iv", "M", "Clearance")
    assert _task(old, dose="3 mg/kg") == _task(("In_vivo_PK", "PK_iv", "Mouse", "Clearance"))
    assert _task(("CYP Inhibition", "CYP3A-MDZ", "H", "IC50")) == "cyp3a4_ic50"
