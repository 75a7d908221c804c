from pathlib import Path

from agent.keeper.orders import Settings
from agent.keeper.site import Site


def test_private_heads_rest_only_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "private.safetensors"
    site = Site((), Settings(device="cpu", threads=1, min_labels=2), path)
    assert site.resting_heads() == ""
    path.write_bytes(b"x")
    assert site.resting_heads() == str(path)
