from typing import Any

import pytest

from agent.doctor import engine

_SEEN: dict[str, Any] = {"threads": 4, "capability": "AVX2", "gpu": ""}


@pytest.mark.parametrize(
    ("seen", "device", "flags", "failing"),
    [
        ({}, "auto", {"avx2"}, []),
        ({"threads": 1}, "auto", {"avx2"}, ["engine"]),
        ({}, "auto", {"avx2", "avx512f"}, ["instructions"]),
        ({"capability": "DEFAULT"}, "auto", {"avx2"}, ["instructions"]),
        ({}, "cuda", {"avx2"}, ["gpu"]),
        ({"gpu": "H200"}, "cuda", {"avx2"}, []),
    ],
)
def test_what_torch_misses_is_named(
    seen: dict[str, Any], device: str, flags: set[str], failing: list[str]
) -> None:
    found = engine.judge({**_SEEN, **seen}, device, 4, flags)
    assert [one.name for one in found if one.outcome == "failed"] == failing
    assert all(one.said.endswith(".") for one in found)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("raise SystemExit(3)", "failed"),
        ("import os; os.kill(os.getpid(), 11)", "failed"),
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", "not here"),
    ],
)
def test_an_engine_that_crashes_takes_nothing_along(
    code: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_TRY", code)
    (found,) = engine.findings("cpu", 0)
    assert (found.name, found.outcome) == ("engine", outcome)


@pytest.mark.slow
def test_torch_itself() -> None:
    assert {one.outcome for one in engine.findings("cpu", 0)} <= {"ok", "not here"}
