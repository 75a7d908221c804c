"""The dashboard and the alerts name metrics that the services really have."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from agent.exchange.status import CourierStatus
from agent.exchange.status import figures as courier_figures
from agent.keeper.figures import figures
from agent.metrics import render
from agent.serving.metrics import Metrics

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_NAME = re.compile(r"\bonggi_[a-z_]+")


def _known() -> set[str]:
    predict = Metrics()
    predict.request("other", 200)
    predict.predicted(1, 1, 0.1)
    content = render(figures(None, _NOW)) + render(courier_figures(CourierStatus(), _NOW))
    return set(_NAME.findall((content + predict.render("r", 1)).decode()))


def test_every_alert_speaks_of_something_that_is_measured() -> None:
    text = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
    named = set(_NAME.findall(text))
    assert len(named) > 4
    assert named <= _known()
    assert text.count("- alert:") == text.count("do: ") == text.count("summary: ")


def test_every_panel_shows_something_that_is_measured() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert all(_NAME.findall(expression) for expression in expressions)
    assert {name for expression in expressions for name in _NAME.findall(expression)} <= _known()
