import json
from pathlib import Path

import pytest
from fastapi import Request

from agent.config import Paths
from agent.releases import shelf
from agent.serving.callers import STATE, Caller
from agent.serving.shown import Shown


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "state")
    paths.create()
    return paths


def _request(*scopes: str) -> Request:
    request = Request({"type": "http"})
    setattr(request.state, STATE, Caller("lab", frozenset(scopes)))  # type: ignore[arg-type]
    return request


def test_it_lies_beside_the_releases(paths: Paths) -> None:
    shown = Shown.beside(paths.releases)
    assert shown == Shown(paths.reference, paths.status / "site.json")


def test_only_who_may_see_data_is_told_the_reference(paths: Paths) -> None:
    shown = Shown.beside(paths.releases)
    assert shown.for_caller(_request("data")) == ""
    staged = paths.state / "staged"
    staged.write_text("-")
    shelf.put(paths.reference, staged, "a" * 64)
    assert shown.for_caller(_request("predict", "data")) == "a" * 64
    assert shown.for_caller(_request("predict", "admin")) == ""
    assert shown.for_caller(Request({"type": "http"})) == "a" * 64  # no access is checked


def test_the_report_has_its_time(paths: Paths) -> None:
    shown = Shown.beside(paths.releases)
    assert shown.site_report() is None
    written = {"at": "2026-01-02T03:04:05Z", "status": {"releases": []}}
    shown.site.write_text(json.dumps(written))
    assert shown.site_report() == {"time": "2026-01-02T03:04:05Z", "releases": []}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"at": "x"}', '{"at": "x", "status": 1}'])
def test_a_report_that_is_damaged_is_none(paths: Paths, content: str) -> None:
    shown = Shown.beside(paths.releases)
    shown.site.write_text(content)
    assert shown.site_report() is None
