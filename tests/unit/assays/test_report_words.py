import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.report_words import Wording, may_show, unquoted


@pytest.mark.parametrize(
    "word",
    ["uM", "µg/mL", "10^-6 cm/s", "mL/min/kg", "furlong", "%", "Toxicity / hERG / IC50", "h",
     "Plasma_protein_binding_of_something"],
)  # fmt: skip
def test_words_of_the_field_may_be_shown(word: str) -> None:
    assert may_show(word, 5)
    assert not may_show(word, 4)


@pytest.mark.parametrize(
    "word",
    ["CCO", "c1ccccc1", "> 30.0", "12.5", "-1e-5", "C[C@H](N)C(=O)O", "x CCO y",
     "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1.CC"],
)  # fmt: skip
def test_structures_and_values_may_not(word: str) -> None:
    assert not may_show(word, 1000)


def test_hidden_words_are_still_counted() -> None:
    wording = Wording(detailed=False)
    for word in ("CCO", "furlong", "furlong", "furlong", "furlong", "furlong"):
        wording.add("unknown_unit", f"The unit {word!r} is not known.")
    wording.add("unknown_unit", "No quotation.")
    assert wording.of("unknown_unit") == [{"word": "furlong", "rows": 5}, {"word": "", "rows": 1}]
    assert wording.of("another") == []


@given(st.text(min_size=1))
def test_what_is_quoted_goes(text: str) -> None:
    assert unquoted(f"The unit {text!r} is not known.") == "The unit ‘…’ is not known."
