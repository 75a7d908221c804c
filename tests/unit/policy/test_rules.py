from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Stop
from agent.policy.rules import DEFAULT, Policy, parse_policy, read_policy


def _policy(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_the_default_policy(tmp_path: Path) -> None:
    found, content = read_policy(_policy(tmp_path, ""))
    assert (found, content) == (DEFAULT, b"")
    assert found.leave.approval == "none"
    assert found.gate is None


def test_every_section_is_read(tmp_path: Path) -> None:
    found = parse_policy(
        b"""
version = 3
[ask]
endpoints = ["logd"]
max_parameters = 5
max_rounds_per_week = 7
hours = "18-07"
[peers]
min_participants = 5
count = ["%s"]
[privacy]
none_allowed = false
max_epsilon = 3.0
unmasked_allowed = false
[leave]
approval = "each"
tell = "nothing"
[gate]
max_worsening = 0.1
"""
        % (b"ab" * 32),
        tmp_path,
    )
    assert isinstance(found, Policy)
    assert (found.version, found.ask.hours, found.peers.count) == (3, "18-07", ("ab" * 32,))
    assert not found.privacy.unmasked_allowed
    assert found.gate is not None
    assert (found.gate.max_worsening, found.gate.min_labels) == (0.1, 20)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[ask]\nmax_parameters = 0", "ask.max_parameters"),
        ("[ask]\nhours = 'noon'", "ask.hours"),
        ("[peers]\nmin_participants = 0", "peers.min_participants"),
        ("[peers]\ncount = ['short']", "peers.count"),
        ("[privacy]\nmax_epsilon = inf", "privacy.max_epsilon"),
        ("[leave]\napproval = 'some'", "leave.approval"),
        ("[leave]\ntell = 'all'", "leave.tell"),
        ("[gate]\nmax_worsening = 0.0", "gate.max_worsening"),
        ("version = 0", "version"),
        ("other = 1", "other: unknown key; see config_templates/policy.toml"),
        ("[ask", "not valid TOML"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(Stop) as stopped:
        read_policy(_policy(tmp_path, text))
    assert where in str(stopped.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"2 fault\(s\)"):
        read_policy(_policy(tmp_path, "version = 0\nother = 1"))


@pytest.mark.parametrize(
    "content",
    [b"version = " + b"9" * 5000, b"a = " + b"[" * 5000, b"\xff", b"version = 99999999999"],
)
def test_bytes_that_trip_a_parser(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Stop):
        parse_policy(content, tmp_path)


WORDS = ["[ask]", "[peers]", "[leave]", "version", "count", "tell", "=", '"*"', "[", "]", "1", "\n"]


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from(WORDS)).map(lambda w: " ".join(w).encode())
)
def test_no_bytes_do_more_than_stop(content: bytes) -> None:
    try:
        parse_policy(content, Path("policy.toml"))
    except Stop as stop:
        said = str(stop)
    else:
        said = "policy.toml is right"
    assert said.startswith("policy.toml ")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="Cannot read the policy"):
        read_policy(tmp_path / "policy.toml")
