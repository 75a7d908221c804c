import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused, Stop
from agent.files import sha256_bytes
from agent.serving import tokens
from agent.serving.callers import Scope
from agent.serving.tokens import Known

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _add(
    folder: Path,
    name: str = "kim",
    scopes: tuple[Scope, ...] = ("predict",),
    days: int | None = None,
    now: datetime = NOW,
) -> str:
    return tokens.add(folder, tokens.drafted(name, scopes, 0, days, now), now)


def test_a_token_is_found_by_its_secret_and_kept_as_a_hash_alone(tmp_path: Path) -> None:
    secret = _add(tmp_path, scopes=("predict", "data", "predict"))
    assert secret.startswith("ong_")
    assert len(secret) == 4 + 43  # 32 bytes in base64url
    content = (tmp_path / "tokens.json").read_bytes()
    assert secret[4:].encode() not in content
    found = tokens.parse(content).find(secret.encode())
    assert found is not None
    assert (found.name, found.scopes) == ("kim", ("predict", "data"))
    assert tokens.parse(content).find(secret[:-1].encode()) is None
    assert tokens.parse(content).find(found.sha256.encode()) is None


def test_only_the_whole_hash_counts() -> None:
    token = tokens.drafted("kim", ["predict"], 0, None, NOW)
    digest = sha256_bytes(b"secret")
    near = token.model_copy(update={"sha256": digest[:-1] + ("0" if digest[-1] != "0" else "1")})
    assert Known([near]).find(b"secret") is None
    assert Known([token.model_copy(update={"sha256": digest})]).find(b"secret") is not None


def test_a_token_ends_by_time_and_by_revocation(tmp_path: Path) -> None:
    _add(tmp_path, days=10)
    (token,) = tokens.read(tmp_path)
    assert token.state(NOW + timedelta(days=9)) == "in force"
    assert token.state(NOW + timedelta(days=10)) == "expired"
    tokens.revoke(tmp_path, "kim", NOW)
    (token,) = tokens.read(tmp_path)
    assert token.state(NOW) == "revoked"
    assert token.revoked == "2026-01-02T03:04:05.000000Z"


def test_a_name_is_free_again_once_its_token_ended(tmp_path: Path) -> None:
    _add(tmp_path, days=1)
    with pytest.raises(Refused, match="name_in_use"):
        _add(tmp_path)
    later = NOW + timedelta(days=2)
    _add(tmp_path, now=later)
    tokens.revoke(tmp_path, "kim", later)
    assert {one.state(later) for one in tokens.read(tmp_path)} == {"revoked"}
    with pytest.raises(Refused, match="unknown_token"):
        tokens.revoke(tmp_path, "kim", later)


@pytest.mark.parametrize(
    "name", ["", "Kim", "local", "anonymous", "a b", "oidc:kim", "-x", "x" * 64]
)
def test_a_name_that_could_be_another_callers_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="bad_name"):
        _add(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_predict_can_read_what_root_wrote_whatever_its_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        _add(tmp_path)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o640


def test_two_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(8)]
    threads = [threading.Thread(target=_add, args=(tmp_path, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in tokens.read(tmp_path)) == names


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b'{"tokens": [{}]}'])
def test_a_damaged_file_is_never_read_as_no_tokens(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokens.json").write_bytes(content)
    with pytest.raises(ValueError, match=r".+"):
        tokens.parse(content)
    with pytest.raises(Stop, match="restore the file"):
        tokens.read(tmp_path)
    with pytest.raises(Stop, match="restore the file"):
        _add(tmp_path)
    assert (tmp_path / "tokens.json").read_bytes() == content


def test_a_moment_that_is_none_is_a_fault_of_the_file(tmp_path: Path) -> None:
    _add(tmp_path)
    document = json.loads((tmp_path / "tokens.json").read_bytes())
    document["tokens"][0]["expires"] = "tomorrow"
    with pytest.raises(ValueError, match="tomorrow"):
        tokens.parse(json.dumps(document).encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        tokens.parse(content)
    except ValueError:
        return
    assert b"{" in content


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="run this as root"):
        _add(tmp_path / "none")
