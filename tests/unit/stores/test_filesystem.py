from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.stores.filesystem import Mount, is_shared, kind_at, needs_polling, parse_mounts

# As Debian 12 writes it: a container's root, NFS, SMB under a name with a blank, a bind mount.
SAMPLE = r"""22 27 0:21 / /proc rw,nosuid - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
40 27 0:45 / /srv/assays rw,relatime shared:25 master:3 - nfs4 nas:/assays rw,vers=4.2
41 27 0:46 / /mnt/LIMS\040export rw - cifs //nas/lims rw,vers=3.1.1
42 40 254:1 /var/x /srv/assays/local rw - ext4 /dev/vda1 rw
43 27 0:47 / /mnt/tab\011and\134slash rw - fuse.sshfs me@host:/ rw
44 27 0:48 / /srv/over rw - nfs nas:/a rw
45 27 0:49 / /srv/over rw - xfs /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/me", "ext4"),
        ("/srv/assays", "nfs4"),
        ("/srv/assays/2026/a.csv", "nfs4"),
        ("/srv/assays-other", "ext4"),
        ("/srv/assays/local/deep", "ext4"),
        ("/mnt/LIMS export", "cifs"),
        ("/mnt/tab\tand\\slash/x", "fuse.sshfs"),
        ("/srv/over", "xfs"),
        ("/proc/self", "proc"),
    ],
)
def test_the_deepest_and_latest_mount_decides(path: str, kind: str) -> None:
    assert kind_at(path, parse_mounts(SAMPLE)) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "CIFS", "9p", "fuse.sshfs"])
def test_shared_kinds_are_polled(kind: str) -> None:
    assert is_shared(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", ""])
def test_local_kinds_are_not(kind: str) -> None:
    assert not is_shared(kind)


def test_a_folder_is_judged_by_where_it_really_lies(tmp_path: Path) -> None:
    real, link = tmp_path / "nas", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    info = tmp_path / "mountinfo"
    info.write_text(f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {real} rw - nfs4 nas:/ rw\n")
    assert needs_polling(real, info)
    assert needs_polling(link, info)
    assert not needs_polling(tmp_path, info)


def test_a_bad_list_means_a_local_disk(tmp_path: Path) -> None:
    assert not needs_polling(tmp_path, tmp_path / "nothing")
    info = tmp_path / "mountinfo"
    info.write_bytes(b"\xff\xfe no mounts \n- - - \n\n1 2 3 4 relative rw - nfs x\n")
    assert not needs_polling(tmp_path, info)


def test_this_machines_own_list_is_read(tmp_path: Path) -> None:
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    assert kind_at("/proc/self", mounts) == "proc"
    assert kind_at(str(tmp_path), mounts)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    mounts = parse_mounts(text)
    assert all(isinstance(mount, Mount) for mount in mounts)
    kind_at("/a/b", mounts)
