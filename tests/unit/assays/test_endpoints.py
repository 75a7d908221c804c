from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.endpoints import EndpointIndex, flips, invert, transform
from agent.errors import Refused
from agent.records import Assay, Place, Reading
from agent.wire.documents import AssayRule, Catalogue, Endpoint, UnsharedAssay

Transform = Literal["identity", "log10", "neg_log10_molar", "log10_plus_1"]


def _endpoint(name: str, *rules: AssayRule, scale: Transform = "identity") -> Endpoint:
    return Endpoint(
        id=name, name=name, group="A", kind="regression", transform=scale, rules=tuple(rules)
    )


def _index(*endpoints: Endpoint, private: tuple[Endpoint, ...] = ()) -> EndpointIndex:
    return EndpointIndex(Catalogue(consortium="c", version=1, endpoints=endpoints), private)


def _task(index: EndpointIndex, assay: Assay, endpoint: str = "") -> str | None:
    reading = Reading("C1", "C", "smiles", assay, endpoint, "", "1", "", "", "", Place(1))
    found = index.resolve(reading)
    return found.task if found else None


def test_rules_match_whatever_case_and_blanks() -> None:
    index = _index(_endpoint("cyp", AssayRule(test="CYP_Inhibition", test_type="CYP2D6")))
    assert _task(index, Assay("cyp inhibition ", "cyp2d6", readout="IC50")) == "cyp"
    assert _task(index, Assay("CYP_Inhibition", "CYP2C9")) is None


def test_most_specific_rule_wins() -> None:
    index = _index(
        _endpoint("any", AssayRule(test="Solubility")),
        _endpoint("ph7", AssayRule(test="Solubility", test_type="Solubility_pH7.4")),
    )
    assert _task(index, Assay("Solubility", "Solubility_pH7.4")) == "ph7"
    assert _task(index, Assay("Solubility", "Solubility_pH2.1")) == "any"


def test_two_rules_that_fit_alike_are_never_merged_silently() -> None:
    index = _index(
        _endpoint("a", AssayRule(test="PPB", subject="*")),
        _endpoint("b", AssayRule(subject="Human")),
    )
    with pytest.raises(Refused) as caught:
        _task(index, Assay(test="PPB", subject="Human"))
    assert caught.value.code == "ambiguous_assay"


def test_what_is_left_out_on_purpose_has_its_reason() -> None:
    left_out = UnsharedAssay(rule=AssayRule(test_type="CYP1A1", subject="*"), reason="No column.")
    catalogue = Catalogue(consortium="c", version=1, endpoints=(), unshared=(left_out,))
    index = EndpointIndex(catalogue)
    assert index.why_unshared(Assay("CYP_Inhibition", "CYP1A1", "Human")) == "No column."
    assert index.why_unshared(Assay("CYP_Inhibition", "CYP2D6")) == ""


def test_many_different_conditions_are_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.assays.endpoints._MAX_KNOWN", 10)
    index = _index(_endpoint("a", AssayRule(test="PPB", condition="note=*")))
    assert [_task(index, Assay("PPB", condition=f"note=n{at}")) for at in range(25)] == ["a"] * 25
    assert len(index._known) <= 10


def test_rule_without_words_fits_nothing() -> None:
    assert _task(_index(_endpoint("a", AssayRule())), Assay("PPB")) is None


def test_profile_decides_over_rules() -> None:
    own = _endpoint("herg")
    index = _index(_endpoint("herg", AssayRule(test="PPB")), _endpoint("logd"), private=(own,))
    assert _task(index, Assay("PPB"), "logd") == "logd"
    assert _task(index, Assay("PPB"), "private:herg") == "private:herg"
    assert _task(index, Assay("PPB"), "nowhere") is None
    assert index.tasks == ("herg", "logd", "private:herg")
    assert index.endpoint("private:herg") is own


@given(st.floats(min_value=1e-6, max_value=1e6))
@pytest.mark.parametrize("scale", ["identity", "log10", "neg_log10_molar", "log10_plus_1"])
def test_transform_and_back(scale: Transform, native: float) -> None:
    endpoint = _endpoint("e", scale=scale)
    assert invert(transform(native, endpoint), endpoint) == pytest.approx(
        native, rel=1e-6, abs=1e-9
    )


def test_known_values() -> None:
    assert transform(1.0, _endpoint("e", scale="neg_log10_molar")) == 6.0
    assert transform(-5.0, _endpoint("e", scale="log10_plus_1")) == 0.0
    assert transform(100.0, _endpoint("e", scale="log10")) == 2.0


@pytest.mark.parametrize("scale", ["log10", "neg_log10_molar"])
def test_zero_has_no_logarithm(scale: Transform) -> None:
    with pytest.raises(Refused) as caught:
        transform(0.0, _endpoint("e", scale=scale))
    assert caught.value.code == "not_positive"


def test_only_negative_logarithm_flips() -> None:
    assert flips(_endpoint("e", scale="neg_log10_molar"))
    assert not flips(_endpoint("e", scale="log10"))
