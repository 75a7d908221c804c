import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.stores.conditions import KEYS, Words, assay_of


@pytest.mark.parametrize(
    ("words", "test_type", "condition"),
    [
        (Words("Solubility", "Solubility_pH7.4"), "Solubility", "ph=7.4"),
        (Words("Solubility", "Solubility_pH7"), "Solubility", "ph=7"),
        (Words("Solubility", "Solubility", "pH7.4"), "Solubility", "ph=7.4"),
        (Words("Solubility", "Solubility", condition="7.4"), "Solubility", "ph=7.4"),
        (Words("Solubility", "Solubility", condition="pH 7.40"), "Solubility", "ph=7.4"),
        (Words("Permeability", "PAMPA_pH5"), "PAMPA", "ph=5"),
        (Words("Metabolic_stability", "Hepatocytes", condition="7.4"), "Hepatocytes", "note=7.4"),
        (Words("CYP_Inhibition", "CYP2D6", condition="30 min; NADPH"), "CYP2D6", None),
        (Words("Toxicity", "hERG_Patch clamp"), "hERG_Patch clamp", ""),
        (Words("Solubility", "Solubility_FaSSIF", condition="-"), "Solubility_FaSSIF", ""),
    ],
)
def test_ph_is_found_wherever_it_hides(words: Words, test_type: str, condition: str | None) -> None:
    if condition is None:  # two notes cannot be told from one another, so nothing is guessed
        with pytest.raises(Refused) as caught:
            assay_of(words)
        assert caught.value.code == "conflicting_condition"
        return
    found = assay_of(words)
    assert (found.test_type, found.condition) == (test_type, condition)


def test_subject_that_is_a_ph_is_no_subject() -> None:
    assert assay_of(Words("Solubility", "Solubility", "pH7.4")).subject == ""


@pytest.mark.parametrize(
    ("written", "meant"), [("H", "Human"), ("MK", "Monkey"), ("M", "Mouse"), ("Dog", "Dog")]
)
def test_species_letters_of_the_template(written: str, meant: str) -> None:
    assert assay_of(Words(subject=written)).subject == meant


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("10", "conc_um=10"),
        ("10 µM", "conc_um=10"),
        ("500 nM", "conc_um=0.5"),
        ("1 mM", "conc_um=1000"),
        ("2 mg/mL", "conc=2 mg/ml"),
        ("-", ""),
    ],
)
def test_concentration_is_micromolar_where_no_unit_is_given(written: str, condition: str) -> None:
    assert assay_of(Words(concentration=written)).condition == condition


def test_concentration_in_the_readout() -> None:
    found = assay_of(Words("CYP_Inhibition", "CYP2D6", readout="Inhibition_10uM"))
    assert (found.readout, found.condition) == ("Inhibition", "conc_um=10")


@pytest.mark.parametrize(
    ("written", "condition"), [("37", "temp_c=37"), ("25 °C", "temp_c=25"), ("RT", "temp_c=rt")]
)
def test_temperature(written: str, condition: str) -> None:
    assert assay_of(Words(temperature=written)).condition == condition


def test_route_is_kept_apart_from_the_test_type_and_checked_against_it() -> None:
    assert assay_of(Words(test_type="PK_iv", route="i.v.")).condition == ""
    assert assay_of(Words(test_type="Kp", route="Intravenous")).condition == "route=iv"
    with pytest.raises(Refused):
        assay_of(Words(test_type="PK_iv", route="po"))


_TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["pH7.4", "7.4", "a=b; c", "3 mg/kg"]))


@given(st.builds(Words, *[_TEXTS] * 12))
def test_canonical_text_reads_back_as_itself(words: Words) -> None:
    try:
        condition = assay_of(words).condition
    except Refused:
        return
    parts = condition.split("; ") if condition else []
    keys = [part.partition("=")[0] for part in parts]
    assert keys == sorted(set(keys))
    assert set(keys) <= set(KEYS)
    assert assay_of(Words(condition=condition)).condition == condition
