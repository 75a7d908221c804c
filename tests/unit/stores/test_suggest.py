import csv
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cli.profile import converts
from agent.errors import Refused, Stop
from agent.records import Reading
from agent.stores.draft import to_json, to_toml
from agent.stores.naming import matches, role_of, unit_of
from agent.stores.patterns import look_at, piles
from agent.stores.profile import Profile, load_profile
from agent.stores.readers import read
from agent.stores.suggest import Column, Suggestion, suggest
from consortium.catalogue import default_catalogue

_ENDPOINTS = default_catalogue("test").endpoints
_SMILES = ["CCO", "c1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)O", "CCN(CC)CC", "O=C(O)c1cccnc1"]


def _file(folder: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    path = folder / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def _suggested(path: Path) -> Suggestion:
    return suggest(path, _ENDPOINTS, converts)


def _by_header(suggestion: Suggestion) -> dict[str, Column]:
    return {column.header: column for column in suggestion.columns}


def _wide(folder: Path) -> Path:
    rows = [
        (
            f"E-{at:04}",
            _SMILES[at % 5],
            f"2026-01-{at % 28 + 1:02}",
            3 if at < 12 else at + 0.5,
            ">" if at == 30 else "",
            at / 7,
            "remark" if at % 2 else "",
        )
        for at in range(60)
    ]
    header = ("Molecule Name", "SMILES", "Tested", "LOG HLM_CLint (uL/min/mg)")
    return _file(folder, (*header, "HLM rel", "Sol pH 6.8 (ug/mL)", "Note"), rows)


def test_a_wide_table_s_columns_are_found(tmp_path: Path) -> None:
    found = _by_header(_suggested(_wide(tmp_path)))
    assert {name: column.role for name, column in found.items()} == {
        "Molecule Name": "compound",
        "SMILES": "structure",
        "Tested": "date",
        "LOG HLM_CLint (uL/min/mg)": "numbers",
        "HLM rel": "",
        "Sol pH 6.8 (ug/mL)": "numbers",
        "Note": "",
    }
    clearance = found["LOG HLM_CLint (uL/min/mg)"]
    assert clearance.endpoint is not None
    assert (clearance.endpoint.id, clearance.unit) == ("hlm_clint", "log10 uL/min/mg")
    assert (clearance.unit_known, clearance.fits_unit) == (True, True)
    assert clearance.qualifier_column == "HLM rel"
    assert [(pile.side, pile.value, pile.count) for pile in clearance.piles] == [("floor", "3", 12)]


def test_a_suggestion_is_a_profile_that_is_not_read_with_yet(tmp_path: Path) -> None:
    text = to_toml(_suggested(_wide(tmp_path)))
    assert "#floor = 3.0" in text
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Stop, match="reviewed = true"):
        load_profile(path)
    path.write_text(text.replace("reviewed = false", "reviewed = true"), encoding="utf-8")
    items = list(read(tmp_path / "a.csv", "table", load_profile(path)))
    assert len(items) == 120
    assert all(isinstance(item, Reading) for item in items)


def test_a_long_table_s_assays_are_mapped(tmp_path: Path) -> None:
    rows = [
        (f"C{at}", _SMILES[at % 5], ["3A4", "2D6", "rosuvastatin"][at % 3], "=", at * 1.5, "nM")
        for at in range(40)
    ]
    path = _file(tmp_path, ("ID", "Smiles", "iso", "rel", "Value", "Units"), rows)
    suggestion = _suggested(path)
    assert suggestion.long
    assert {column.header: column.role for column in suggestion.columns} == {
        "ID": "compound",
        "Smiles": "structure",
        "iso": "assay",
        "rel": "qualifier",
        "Value": "value",
        "Units": "unit",
    }
    found = {name: endpoint.id if endpoint else "" for name, endpoint, _ in suggestion.assays}
    assert found == {"3A4": "cyp3a4_ic50", "2D6": "cyp2d6_ic50", "rosuvastatin": ""}
    raw = tomllib.loads(to_toml(suggestion))
    assert Profile.model_validate(raw).shape == "long"


def test_a_header_without_a_unit_gets_none(tmp_path: Path) -> None:
    path = _file(tmp_path, ("SMILES", "KSOL"), [(s, at / 3) for at, s in enumerate(_SMILES * 3)])
    text = to_toml(_suggested(path))
    assert 'unit = ""' in text
    assert "fill it in (the endpoint is in uM)" in text


def test_without_a_catalogue_every_assay_is_private(tmp_path: Path) -> None:
    suggestion = suggest(_wide(tmp_path), (), converts)
    assert 'endpoint = "private:log_hlm_clint_ul_min_mg"' in to_toml(suggestion)


def test_day_or_month_is_a_question(tmp_path: Path) -> None:
    rows = [(s, "03/04/2026", at / 3) for at, s in enumerate(_SMILES)]
    text = to_toml(_suggested(_file(tmp_path, ("SMILES", "Date", "logD"), rows)))
    assert '#date_format = "%m/%d/%Y"' in text
    assert "date_format" not in tomllib.loads(text)


def test_a_workbook_s_sheet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet('Re"sults')
        sheet.write_row(0, 0, ["SMILES", "logD"])
        for at, smiles in enumerate(_SMILES, start=1):
            sheet.write_row(at, 0, [smiles, at / 3])
    assert tomllib.loads(to_toml(_suggested(path)))["sheet"] == 'Re"sults'


def test_an_sdf_brings_its_own_structures(tmp_path: Path) -> None:
    block = "A\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 C\nM  END\n"
    path = tmp_path / "a.sdf"
    path.write_text("".join(f"{block}> <logD>\n{at / 3}\n\n$$$$\n" for at in range(9)))
    suggestion = _suggested(path)
    assert (suggestion.kind, suggestion.structure_format) == ("sdf", "molblock")
    assert Profile.model_validate(tomllib.loads(to_toml(suggestion))).shape == "wide"


def test_what_no_profile_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        _suggested(tmp_path / "a.pdf")
    assert caught.value.code == "wrong_kind"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5, unique=True),
    cells=st.lists(st.text(max_size=20), min_size=5, max_size=5),
)
def test_any_header_makes_valid_toml(tmp_path: Path, header: list[str], cells: list[str]) -> None:
    path = tmp_path / "a.csv"
    rows = [header, cells, [f"{at}.5" for at in range(5)]]
    with path.open("w", encoding="utf-8", errors="replace", newline="") as handle:
        csv.writer(handle, quoting=csv.QUOTE_ALL).writerows(rows)
    try:
        suggestion = _suggested(path)
    except Refused:
        return
    assert tomllib.loads(to_toml(suggestion))["reviewed"] is False
    assert to_json(suggestion)["reviewed"] is False


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("HLM CLint (mL/min/kg)", "mL/min/kg"),
        ("LOG SOLUBILITY PH 6.8 (ug/mL)", "log10 ug/mL"),
        ("LOG PLASMA PROTEIN BINDING (HUMAN) (% unbound)", "log10 %"),
        ("Solubility [uM]", "uM"),
        ("logD", ""),
        ("KSOL", ""),
    ],
)
def test_headers_carry_units(header: str, unit: str) -> None:
    assert unit_of(header) == unit


@pytest.mark.parametrize(
    ("header", "endpoint"),
    [
        ("HLM CLint (mL/min/kg)", "hlm_clint"),
        ("RLM CLint", "rlm_clint"),
        ("LogD", "logd"),
        ("Caco-2 Papp A>B", "caco2_papp"),
        ("Caco-2 Permeability Efflux", "caco2_efflux_ratio"),
        ("CYP2C19 IC50 (uM)", "cyp2c19_ic50"),
        ("PPB human (% unbound)", "fu_plasma_human"),  # unbound is not bound
        ("Melting point", ""),
    ],
)
def test_headers_fit_endpoints_of_one_species_only(header: str, endpoint: str) -> None:
    found = matches(header, _ENDPOINTS)
    assert (found[0].endpoint.id if found else "") == endpoint


def test_synonyms_count() -> None:
    own = _ENDPOINTS[0].model_copy(update={"id": "x", "name": "y", "synonyms": ("Melting point",)})
    assert [match.endpoint.id for match in matches("MELTING POINT", [own])] == ["x"]


@pytest.mark.parametrize(
    ("cells", "look"),
    [
        (_SMILES, "structure"),
        (["1", "> 2.5", "<3", "4e-3"], "number"),
        (["2026-01-02", "2026-1-3"], "date"),
        (["<", "=", ">", "="], "qualifier"),
        (["CHEMBL1", "CHEMBL22", "CHEMBL31"], "name"),
        (["yes", "no", "no", "no", "yes"], "word"),
        (["", ""], "blank"),
    ],
)
def test_cells_have_a_look(cells: list[str], look: str) -> None:
    assert look_at(cells).look == look


def test_values_pile_up_at_an_end_only() -> None:
    spread = [str(at) for at in range(100)]
    assert piles(spread) == []
    assert piles([*spread, *["50"] * 40]) == []
    (pile,) = piles([*spread, *["99"] * 40])
    assert (pile.side, pile.count) == ("ceiling", 41)
    assert piles(["0", "1"] * 50) == []  # classes


def test_roles_are_read_from_headers_in_two_languages() -> None:
    assert [role_of(name) for name in ("화합물 번호", "측정일", "Result Unit", "Foo")] == [
        "compound",
        "date",
        "unit",
        "",
    ]
