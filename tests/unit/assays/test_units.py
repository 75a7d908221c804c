from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.units import Joint, flips, parse, to_canonical
from agent.errors import Refused
from agent.wire.documents import Endpoint

_WEIGHT = 500.0


def _convert(value: float, unit: str, canonical: str) -> float:
    endpoint = Endpoint(id="e", name="e", group="A", kind="regression", unit=canonical)
    return to_canonical(value, unit, endpoint, _WEIGHT)


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "expected"),
    [
        (1500.0, "nM", "uM", 1.5),
        (2.0, "mM", "uM", 2000.0),
        (2.0, "µM", "uM", 2.0),
        (2.0, "μM", "uM", 2.0),
        (2.0, " u M ", "uM", 2.0),
        (3.0, "umol/l", "uM", 3.0),
        (5.0, "ug/mL", "uM", 10.0),
        (5.0, "μg/ml", "uM", 10.0),
        (5.0, "㎍/㎖", "uM", 10.0),
        (5000.0, "ng/mL", "uM", 10.0),
        (5.0, "mg/L", "uM", 10.0),
        (10.0, "uM", "ug/mL", 5.0),
        (-5.0, "log M", "uM", 10.0),
        (-5.0, "log10(mol/L)", "uM", 10.0),
        (5.0, "-log10(M)", "uM", 10.0),
        (10.0, "uM", "log10 mol/L", -5.0),
        (-5.0, "log M", "log10 mol/L", -5.0),
        (2.0, "10-6 cm/s", "10^-6 cm/s", 2.0),
        (2.0, "10'-6 cm/s", "10^-6 cm/s", 2.0),
        (2.0, "x10^-6 cm/s", "10^-6 cm/s", 2.0),
        (2.0, "1E-06 cm/sec", "10^-6 cm/s", 2.0),
        (2.0, "10⁻⁶ cm/s", "10^-6 cm/s", 2.0),
        (2e-6, "cm/s", "10^-6 cm/s", 2.0),
        (-6.0, "log cm/s", "10^-6 cm/s", 1.0),
        (3.0, "µl/min/mg", "uL/min/mg", 3.0),
        (3.0, "uL/min/mg protein", "uL/min/mg", 3.0),
        (3.0, "uL/min/1E6 cells", "uL/min/10^6 cells", 3.0),
        (3.0, "ml/min/kg", "mL/min/kg", 3.0),
        (0.6, "L/hr/kg", "mL/min/kg", 10.0),
        (2.0, "hr", "min", 120.0),
        (2.0, "hours", "h", 2.0),
        (90.0, "minutes", "h", 1.5),
        (0.5, "ratio", "%", 50.0),
        (50.0, "％", "ratio", 0.5),
        (3.0, "ratio", "", 3.0),
        (3.0, "", "ratio", 3.0),
        (3.0, "-", "", 3.0),
        (4.184, "kJ/mol", "kcal/mol", 1.0),
        (-3.0, "kcal/mol", "kcal/mol", -3.0),
        (7.0, "ng∙h/mL", "ng·h/mL", 7.0),
    ],
)
def test_conversion(value: float, unit: str, canonical: str, expected: float) -> None:
    assert _convert(value, unit, canonical) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("unit", "canonical"),
    [
        ("um", "uM"),
        ("m", "uM"),
        ("furlong", "uM"),
        ("", "uM"),
        ("", "%"),
        ("%", ""),
        ("mL/min/kg", "uL/min/mg"),
        ("mL/min/g", "uL/min/mg"),
        ("log", "uM"),
        ("log furlong", "uM"),
    ],
)
def test_other_units_are_never_guessed(unit: str, canonical: str) -> None:
    with pytest.raises(Refused) as caught:
        _convert(1.0, unit, canonical)
    assert caught.value.code == "unknown_unit"


@pytest.mark.parametrize("unit", ["uM", "nM", "ug/mL"])
def test_negative_concentration_has_its_own_reason(unit: str) -> None:
    with pytest.raises(Refused) as caught:
        _convert(-1.0, unit, "uM")
    assert caught.value.code == "negative_concentration"


def test_zero_has_no_logarithm_and_a_huge_exponent_no_value() -> None:
    with pytest.raises(Refused) as zero:
        _convert(0.0, "uM", "log M")
    assert zero.value.code == "not_positive"
    with pytest.raises(Refused) as huge:
        _convert(1e6, "log M", "uM")
    assert huge.value.code == "out_of_range"


def test_only_negative_logarithms_flip() -> None:
    assert flips("-log10(M)")
    assert not flips("log10(M)")
    assert not flips("uM")


@given(st.text(max_size=30))
def test_any_text_is_a_unit_or_refused(text: str) -> None:
    # Nothing but Refused may escape: a unit comes from a cell that anybody typed.
    with suppress(Refused):
        assert parse(text).factor > 0


@given(st.floats(min_value=1e-6, max_value=1e6), st.sampled_from(["nM", "log M", "ng/mL"]))
def test_there_and_back(value: float, unit: str) -> None:
    assert _convert(_convert(value, "uM", unit), unit, "uM") == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "expected"),
    [
        (3.0, "mL min-1 kg-1", "mL/min/kg", 3.0),
        (3.0, "mL·min⁻¹·kg⁻¹", "mL/min/kg", 3.0),
        (3.0, "uL/(min*mg)", "uL/min/mg", 3.0),
        (3.0, "mL/h/kg bw", "mL/min/kg", 0.05),
        (3.0, "mL/min/g liver", "mL/min/g", 3.0),
        (3.0, "µL/min/million cells", "uL/min/10^6 cells", 3.0),
        (3.0, "10^-5 cm/s", "10^-6 cm/s", 30.0),
        (3.0, "1e-7 cm s-1", "10^-6 cm/s", 0.3),
        (3.0, "um/s", "10^-6 cm/s", 300.0),
        (3.0, "nmol/mL", "uM", 3.0),
        (3.0, "mg/dL", "ug/mL", 30.0),
        (3.0, "ug·h/L", "ng·h/mL", 3.0),
        (3.0, "1/h", "1/min", 0.05),
        (3.0, "g/kg", "mg/kg", 3000.0),
    ],
)
def test_units_that_are_composed(value: float, unit: str, canonical: str, expected: float) -> None:
    assert _convert(value, unit, canonical) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "canonical"),
    [
        ("H", "h"),  # pint's own registry reads henry
        ("ng/g", "ratio"),  # a mass in a mass of tissue is no pure number
        ("mL/min/kg", "mL/min/g"),
        ("uL/min/mg", "uL/min/10^6 cells"),
        ("MM", "mM"),
        ("UM", "uM"),
        ("cd", "d"),
        ("%/min", "%"),
        ("10**9", ""),
        ("9^9^9^9", ""),
        ("uM*uM", "uM"),
        ("mL/min/1.73m2", "mL/min"),
        ("__import__('os')", ""),
        ("u" * 10_000, "uM"),
    ],
)
def test_what_is_close_to_a_unit_is_none(unit: str, canonical: str) -> None:
    with pytest.raises(Refused) as caught:
        _convert(1.0, unit, canonical)
    assert caught.value.code == "unknown_unit"


_LIVER = Joint("mL/min/g", "uL/min/mg", 25.0)  # 40 mg of protein in a gram of liver


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "expected"),
    [
        (2.0, "mL/min/g", "uL/min/mg", 50.0),
        (50.0, "uL/min/mg", "mL/min/g", 2.0),
        (2000.0, "uL/min/g liver", "uL/min/mg", 50.0),
        (0.0, "log10 mL/min/g", "uL/min/mg", 25.0),
        (2.0, "mL/min/mg", "uL/min/mg", 2000.0),
    ],
)
def test_liver_becomes_protein_by_a_declared_factor(
    value: float, unit: str, canonical: str, expected: float
) -> None:
    endpoint = Endpoint(id="e", name="e", group="M", kind="regression", unit=canonical)
    assert to_canonical(value, unit, endpoint, _WEIGHT, [_LIVER]) == pytest.approx(expected)


def test_a_declared_factor_joins_nothing_else() -> None:
    endpoint = Endpoint(id="e", name="e", group="M", kind="regression", unit="uL/min/mg")
    with pytest.raises(Refused):
        to_canonical(1.0, "mL/min/kg", endpoint, _WEIGHT, [_LIVER])
