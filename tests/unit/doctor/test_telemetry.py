from pathlib import Path

import pytest

from agent.doctor import telemetry


def test_a_device_id_that_was_left_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_LOAD", "")
    assert telemetry.no_telemetry([tmp_path]).outcome == "ok"
    (tmp_path / ".cache" / "Microsoft").mkdir(parents=True)
    assert telemetry.no_telemetry([tmp_path]).outcome == "failed"


@pytest.mark.parametrize(
    ("code", "outcome"), [("print('socket:[1]')", "failed"), ("raise ImportError", "not here")]
)
def test_a_socket_is_found(
    code: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_LOAD", code)
    assert telemetry.no_telemetry([tmp_path]).outcome == outcome


def test_onnxruntime_leaves_nothing_here(tmp_path: Path) -> None:
    assert telemetry.no_telemetry([tmp_path]).outcome == "ok"
