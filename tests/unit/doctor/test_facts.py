import json
from pathlib import Path

from agent.clock import now
from agent.config import Config, Paths, load
from agent.doctor import facts
from agent.metrics import one, publish

_SECRET = "kinase-7"  # it stands wherever a site can write something of its own
_CONFIG = f"""
[site]
state = "{{state}}"
legal_entity = "{_SECRET}"
[serve]
host = "{_SECRET}.example"
port = 8700
[exchange]
ca_file = "/{_SECRET}/ca.pem"
[[store]]
name = "{_SECRET}"
kind = "database"
url = "postgresql://{_SECRET}@{_SECRET}/x"
query = "SELECT {_SECRET}"
watermark = "w"
key = "k"
profile = "/{_SECRET}.toml"
"""


def _config(tmp_path: Path) -> Config:
    path = tmp_path / "onggi.toml"
    path.write_text(_CONFIG.format(state=tmp_path))
    return load(path)


def test_nothing_of_a_sites_own_words_is_in_it(tmp_path: Path) -> None:
    config = _config(tmp_path)
    Paths(config.site.state).create()
    publish(tmp_path / "status" / "metrics" / "keeper.prom", [one("onggi_things", "Things.", 3)])
    found = facts.gather(config, now())
    text = json.dumps(found)
    assert _SECRET not in text
    assert str(tmp_path) not in text
    assert found["figures"] == ["onggi_things 3"]
    settings = facts.settings(config)
    serve = settings["serve"]
    assert isinstance(serve, dict)
    assert serve["port"] == 8700
    assert settings["store"] == 1
    assert settings["exchange"] == {"carrier": "https"}


def test_of_a_log_line_only_where_the_program_was() -> None:
    lines = [
        json.dumps(
            {"t": "now", "level": "warning", "event": "e", "store": _SECRET, "why": _SECRET}
        ),
        f"onggi: {_SECRET}",
        "[1]",
        "",
    ]
    assert list(facts.log_lines(lines)) == [{"t": "now", "level": "warning", "event": "e"}]
