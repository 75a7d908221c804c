import pytest

from agent.assays.rules import compiled, fit, plain, words_of
from agent.records import Assay
from agent.wire.documents import AssayRule

_FREE = "conc_um=*; temp_c=*"


def _fits(rule: AssayRule, assay: Assay) -> int:
    return fit(compiled(rule), *words_of(assay))


def test_spellings_of_one_word_meet_and_signs_stay_apart() -> None:
    assert plain("P-gp") == plain("P_gp") == "pgp"
    assert plain("CYP Inhibition") == plain("CYP_inhibition")
    assert plain("TA98_S9+") != plain("TA98_S9-")


@pytest.mark.parametrize(
    ("rule", "assay", "fits"),
    [
        (AssayRule(test="PPB"), Assay("PPB"), True),
        (AssayRule(test="PPB"), Assay("PPB", subject="Human"), False),
        (AssayRule(test="PPB", subject="*"), Assay("PPB", subject="Human"), True),
        (AssayRule(test="PPB", subject="-|Human"), Assay("PPB"), True),
        (AssayRule(test="PPB", subject="-|Human"), Assay("PPB", subject="Rat"), False),
        (AssayRule(test="PPB", readout="-"), Assay("PPB", readout="fu,p"), False),
        (AssayRule(test="PPB"), Assay("PPB", condition="ph=7.4"), False),
        (AssayRule(test="PPB", condition="*"), Assay("PPB", condition="ph=7.4"), True),
        (AssayRule(subject="Human"), Assay(subject="Human"), True),
        (AssayRule(subject="*", readout="-"), Assay(subject="Human"), False),
        (AssayRule(condition="*"), Assay("PPB"), False),
    ],
)
def test_species_and_conditions_are_joined_by_a_word_only(
    rule: AssayRule, assay: Assay, fits: bool
) -> None:
    assert bool(_fits(rule, assay)) is fits


@pytest.mark.parametrize(
    ("wanted", "have", "fits"),
    [
        (f"ph=7.4; {_FREE}", "ph=7.4", True),
        (f"ph=7.4; {_FREE}", "conc_um=10; ph=7.4; temp_c=37", True),
        (f"ph=7.4; {_FREE}", "ph=2.1", False),
        (f"ph=7.4; {_FREE}", "", False),
        (f"ph=7.4; {_FREE}", "note=24 h; ph=7.4", False),
        (f"{_FREE}|ph=7.4; {_FREE}", "", True),
        ("ph=7.4; *", "note=24 h; ph=7.4", True),
        ("-", "", True),
        ("-", "ph=7.4", False),
    ],
)
def test_conditions_by_key(wanted: str, have: str, fits: bool) -> None:
    rule = AssayRule(test="Solubility", condition=wanted)
    assert bool(_fits(rule, Assay("Solubility", condition=have))) is fits


def test_more_named_conditions_are_more_specific() -> None:
    assay = Assay("Solubility", condition="ph=7.4")
    general = _fits(AssayRule(test="Solubility", condition="*"), assay)
    assert _fits(AssayRule(test="Solubility", condition="ph=7.4"), assay) > general > 0
