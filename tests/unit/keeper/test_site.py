from pathlib import Path

from agent.keeper.orders import Settings
from agent.keeper.site import Site


def test_private_heads_rest_only_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "private.safetensors"
    site = Site((), Settings(device="cpu", threads=1, min_labels=2), path)
    assert site.resting_heads() == ""
    path.write_bytes(b"x")
    assert site.resting_heads() == str(path)


def test_moments_rest_by_plan_and_only_the_keeper_reads_them(tmp_path: Path) -> None:
    site = Site(
        (), Settings(device="cpu", threads=1, min_labels=2), tmp_path / "private.safetensors"
    )
    assert site.resting_moments("p1") == ""
    site.keep_moments("p1", b"one")
    assert Path(site.resting_moments("p1")).read_bytes() == b"one"
    assert Path(site.resting_moments("p1")).stat().st_mode & 0o777 == 0o600
    site.keep_moments("p2", b"two")
    assert site.resting_moments("p1") == ""  # another plan begins anew
