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
    ],
)
def test_wrong_profile_stops_with_a_sentence(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(Stop, match=word.replace("[", r"\[")):
        load_profile(_file(tmp_path, text))


def test_missing_file_stops(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot be read"):
        load_profile(tmp_path / "nowhere.toml")


def test_standard_format_is_long() -> None:
    assert KMELLODDY.shape == "long"
