from pathlib import Path

import pytest

from agent.doctor import host
from agent.key_ring import RingKey, seal_folder
from agent.keys import new_sealing, new_signing


def test_a_durable_write_has_a_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ms" in host.fsync_latency(tmp_path).said
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(host, "_SLOW_MS", 0.0)
    slow = host.fsync_latency(tmp_path)
    assert slow.outcome == "failed"
    assert "not on a share" in slow.said
    assert host.fsync_latency(tmp_path / "absent").outcome == "failed"


def test_a_disk_without_room(tmp_path: Path) -> None:
    assert host.free_disk(tmp_path, 1).outcome == "ok"
    assert host.free_disk(tmp_path, 2**70).outcome == "failed"


def test_who_keeps_the_clock(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    assert host.clock_kept(mark).outcome == "not here"
    mark.touch()
    assert host.clock_kept(mark).outcome == "ok"


def test_a_store_must_be_readable_and_not_writable(tmp_path: Path) -> None:
    gone, writable, closed = host.stores_open(
        [("a", tmp_path / "gone"), ("b", tmp_path), ("c", Path("/proc/self"))]
    )
    assert (gone.outcome, writable.outcome, closed.outcome) == ("failed", "failed", "ok")
    assert "chgrp onggi-keeper" in gone.said
    assert [one.outcome for one in host.stores_open([])] == ["not here"]


def test_an_open_key_is_named_with_what_to_type(tmp_path: Path) -> None:
    assert host.keys_closed(tmp_path, None).outcome == "not here"
    key = tmp_path / "sign.key"
    key.touch(0o400)
    assert "not sealed" in host.keys_closed(tmp_path, None).said
    key.chmod(0o440)
    found = host.keys_closed(tmp_path, None)
    assert (found.outcome, f"chmod 0400 {key}" in found.said) == ("failed", True)


def test_the_doctor_says_in_which_way_the_keys_rest(tmp_path: Path) -> None:
    ring = RingKey(bytes(32))
    new_signing("sign").save(tmp_path / "sign.key")
    new_sealing("seal").save(tmp_path / "seal.key", ring=ring)
    found = host.keys_closed(tmp_path, ring)
    assert (found.outcome, found.said[:26]) == ("ok", "1 keys rest as plain files")
    assert "the next start seals them" in found.said
    seal_folder(tmp_path, ring)
    assert "2 keys rest sealed" in host.keys_closed(tmp_path, ring).said
    for wrong in (None, RingKey(bytes(31) + b"x")):
        assert host.keys_closed(tmp_path, wrong).outcome == "failed"
