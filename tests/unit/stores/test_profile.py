from pathlib import Path

import pytest

from agent.errors import Stop
from agent.stores.profile import KMELLODDY, load_profile

_WIDE = """
version = 2
[columns]
structure = "SMILES"
[[assay]]
column = "HLM"
endpoint = "private:hlm"
unit = "uL/min/mg"
"""


_LONG = """
version = 1
[columns]
structure = "SMILES"
assay = "Assay"
value = "Result"
[[map]]
assay = "HLM"
endpoint = "hlm_clint"
"""


_OLD_SHA256 = "5651c63063668c5b8c9f4f813e7ada777530f96fd5c5141e59217cecaaeac111"


def _file(folder: Path, text: str) -> Path:
    path = folder / "profile.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_wide_profile_is_read(tmp_path: Path) -> None:
    profile = load_profile(_file(tmp_path, _WIDE))
    assert (profile.shape, profile.version) == ("wide", 2)
    assert profile.assay[0].endpoint == "private:hlm"


def test_hash_ignores_layout_and_sees_meaning(tmp_path: Path) -> None:
    first = load_profile(_file(tmp_path, _WIDE)).sha256
    assert load_profile(_file(tmp_path, "# a comment\n" + _WIDE)).sha256 == first
    assert load_profile(_file(tmp_path, _WIDE.replace("uL", "mL"))).sha256 != first


_PRIVATE = """
[[private]]
id = "hlm"
name = "Our own"
unit = "uL/min/mg"
low = 0
high = 1.0e3
positive = ["yes"]
"""


def test_a_profile_declares_its_private_endpoints(tmp_path: Path) -> None:
    plain = load_profile(_file(tmp_path, _WIDE))
    assert plain.own_endpoints == ()
    profile = load_profile(_file(tmp_path, _WIDE + _PRIVATE.replace("low = 0\n", "low = 0.0\n")))
    (own,) = profile.own_endpoints
    assert (own.id, own.high, own.positive) == ("hlm", 1000.0, ("yes",))
    assert profile.sha256 != plain.sha256


def test_a_profile_without_private_endpoints_keeps_its_old_hash() -> None:
    # Else every file would be read again with the version that brought them.
    assert KMELLODDY.sha256 == _OLD_SHA256


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = _WIDE.replace("version = 2", 'version = "2"').replace("private:hlm", "HLM!") + "x = 1\n"
    with pytest.raises(Stop) as caught:
        load_profile(_file(tmp_path, text))
    for path in ("version:", "assay.0.endpoint:", "assay.0.x:"):
        assert path in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("version = 1\n", "long form"),
        (_WIDE.replace("[[assay]]", 'unit = "u"\n[[assay]]'), "columns.unit"),
        (_WIDE + '[[assay]]\ncolumn = "HLM"\nendpoint = "x"\n', "two [[assay]]"),
        ("version = ", "TOML"),
        ("reviewed = false\n" + _WIDE, "only suggested"),
        ('date_format = "%d %m"\n' + _WIDE, "must hold a year"),
        ('date_format = "%Q%Y"\n' + _WIDE, "date_format"),
        (_WIDE + "floor = 3\nceiling = 3\n", "assay.0: .*floor must lie below"),
        (_WIDE + "limit = 3\n", "assay.0: .*give both"),
        (_WIDE + "factor = 3\n", "factor_reason"),
        (_WIDE + 'factor_reason = "x"\n', "factor and factor_reason"),
        (_WIDE + 'factor = 3\nfactor_reason = "x"\nunit_column = "u"\n', "one unit"),
        (_WIDE.replace('endpoint = "private:hlm"', ""), "name an endpoint"),
        (_WIDE + '[[map]]\nassay = "a"\nendpoint = "b"\n', "columns.assay go together"),
        (_LONG.replace('assay = "Assay"', ""), "columns.assay go together"),
        (_LONG + '[[map]]\nassay = "hlm"\nendpoint = "x"\n', "two [[map]]"),
        (
            _LONG.replace("[columns]", '[columns]\nunit = "U"')
            + 'factor = 2\nfactor_reason = "x"\n',
            "leave out columns.unit",
        ),
    ],
)
def test_wrong_profile_stops_with_a_sentence(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(Stop, match=word.replace("[", r"\[")):
        load_profile(_file(tmp_path, text))


def test_missing_file_stops(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot be read"):
        load_profile(tmp_path / "nowhere.toml")


def test_faults_of_one_entry_are_named_together(tmp_path: Path) -> None:
    text = _WIDE + "floor = 3\nceiling = 2\nlimit = 1\nfactor = 2\n"
    with pytest.raises(Stop) as caught:
        load_profile(_file(tmp_path, text))
    for word in ("floor", "limit", "factor_reason"):
        assert word in str(caught.value)


def test_long_profile_with_a_map_is_read(tmp_path: Path) -> None:
    profile = load_profile(_file(tmp_path, _LONG))
    assert profile.shape == "long"
    assert profile.map[0].endpoint == "hlm_clint"


def test_standard_format_is_long() -> None:
    assert KMELLODDY.shape == "long"
