from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from agent.metrics import Figure, one, publish, render

_FIGURES = [
    one("onggi_seen_seconds", "When.", 1_789_000_000.0),
    Figure("onggi_things", "By state.", "gauge", {(("state", 'a"b\\c'),): 3.0}),
    one("onggi_sent_bytes_total", "Bytes.", 123_456_789_012, "counter"),
]


def test_prometheus_reads_what_was_written() -> None:
    families = list(text_string_to_metric_families(render(_FIGURES).decode()))
    samples = [sample for family in families for sample in family.samples]
    assert [sample.value for sample in samples] == [1_789_000_000.0, 3.0, 123_456_789_012.0]
    assert samples[1].labels == {"state": 'a"b\\c'}


def test_a_file_is_replaced_whole_and_trouble_is_none_of_its_business(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "keeper.prom"
    publish(path, _FIGURES)
    publish(path, _FIGURES[:1])
    assert path.read_bytes() == render(_FIGURES[:1])
    assert [found.name for found in path.parent.iterdir()] == ["keeper.prom"]
    publish(tmp_path / "absent" / "deep" / "a.prom", _FIGURES)
