"""`installer/build-deb`: a Debian package that carries a bundle and lets its installer do the rest.

The package does not lay out the program itself: `install.sh` puts each version into a folder of its
own, so that services run on while dpkg works, and a version that does not stay up is taken back.
What dpkg can own without that, it owns: units, users, folders, the command, the manual page.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from installer.bundling import signed
from installer.bundling.signed import Bundle
from installer.bundling.wheels import NotBuilt, sha256_of

ROOT = Path(__file__).parents[2]
_POSTINST = ROOT / "installer" / "debian" / "postinst"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Everything that the wheels' libraries are linked with and do not bring (`readelf -d`); RDKit's
# drawing wants those of X11. glibc as in the wheels' tag.
_LIBRARIES = (
    *("libc6 (>= 2.28)", "libexpat1", "libgcc-s1", "libstdc++6", "libx11-6", "libxext6"),
    *("libxrender1", "zlib1g"),
)
# The signature's check; users, folders and services; `systemctl reload`.
_PROGRAMS = ("openssl", "systemd (>= 249)", "procps")
_ABOUT = {
    "cpu": "This build curates, trains on CPUs and predicts.",
    "gpu": "This build curates, trains on NVIDIA's GPUs and predicts.",
    "predict-only": "This build predicts; it cannot read assays or train.",
}
_CONTROL = """\
Package: onggi
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: {depends}
Suggests: nftables
Section: science
Priority: optional
Description: federated learning of ADMET models, on the company's own host
 Learns from a company's own assays, exchanges signed and sealed model
 updates with others, and answers chemists over the local network.
 .
 {about}
"""


@dataclass(frozen=True, slots=True)
class _Link:
    target: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds a package and says what it made; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        made = build(chosen.bundle, chosen.key, chosen.out, chosen.maintainer)
    except NotBuilt as error:
        print(f"build-deb: {error}", file=sys.stderr)
        return 78
    print(f"{made}\n{made.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of(made)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build-deb", description=__doc__)
    parser.add_argument("bundle", type=Path, help="What installer/build-bundle made.")
    parser.add_argument(
        "--key", type=Path, required=True, help="The public key that signs bundles (release.pub)."
    )
    parser.add_argument("--out", type=Path, default=Path("dist"), help="Folder of the packages.")
    parser.add_argument(
        "--maintainer",
        default="Whoever built it <root@localhost>",
        help='Whom a host\'s operator asks: "Name <address>".',
    )
    return parser


def build(bundle: Path, key: Path, out: Path, maintainer: str) -> Path:
    """Builds the package of a bundle; equal input, equal bytes.

    Args:
        bundle: The signed bundle.
        key: The public key that it must be signed with; the package carries it along.
        out: The package goes into a folder there, named after variant and ABI, since packages of
            all variants have one name.
        maintainer: `Name <address>`.

    Returns:
        The package's path.

    Raises:
        NotBuilt: The bundle is not to be believed, or dpkg-deb is missing or refuses.
    """
    believed = signed.read(bundle, key)
    facts = believed.facts
    folder = out / f"{facts['variant']}-cp{facts['python'].replace('.', '')}"
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the package, for it is as large, and /tmp may be memory.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        stage = Path(scratch) / "onggi"
        try:
            _fill(stage, believed, key, maintainer)
        except KeyError as error:
            raise NotBuilt(
                f"{bundle} has no {error}; use the build-deb of its own version."
            ) from error
        _settle(stage, believed.epoch_s)
        made = folder / f"onggi_{version_of(facts['version'])}_{_architecture(facts)}.deb"
        _dpkg_deb(stage, made, believed.epoch_s)
    return made


def _fill(stage: Path, bundle: Bundle, key: Path, maintainer: str) -> None:
    parts = _parts(bundle, key)
    for name, part in parts.items():
        _lay(stage / name, part)
    control = _CONTROL.format(
        version=version_of(bundle.facts["version"]),
        architecture=_architecture(bundle.facts),
        maintainer=maintainer,
        # What install.sh unpacks is counted, too, for apt to tell how much the disk must hold.
        size=-(-(sum(_bytes(part) for part in parts.values()) + bundle.unpacked) // 1024),
        depends=", ".join(_depends(bundle.facts["python"])),
        about=_ABOUT[bundle.facts["variant"]],
    )
    for name, content in _control(control, bundle, stage).items():
        _lay(stage / "DEBIAN" / name, content)


def _architecture(facts: Mapping[str, str]) -> str:
    return _ARCHITECTURES[facts["machine"]]


def version_of(version: str) -> str:
    """Writes a version so that dpkg orders it as Python does: 1.0rc1 comes before 1.0."""
    early = re.sub(r"\.?dev(\d+)", r"~~dev\1", version)
    return re.sub(r"(?<=\d)(a|b|rc)(\d+)", r"~\1\2", early)


def _depends(python: str) -> Iterator[str]:
    # Wheels are for one ABI, so the distribution's default python3 may be another.
    yield from (f"python{python}", *_PROGRAMS, *_LIBRARIES)


def _parts(bundle: Bundle, key: Path) -> Mapping[str, bytes | Path | _Link]:
    """Returns what dpkg lays on the host, by its path there."""
    texts = bundle.texts
    parts: dict[str, bytes | Path | _Link] = {
        "usr/share/onggi/onggi.bundle": bundle.path,
        "usr/share/onggi/install.sh": texts["install.sh"],
        "usr/share/onggi/release.pub": key.read_bytes(),
        "usr/share/doc/onggi/copyright": texts["LICENSE"],
        "usr/share/doc/onggi/sbom.cdx.json.gz": _gzip(texts["sbom.cdx.json"]),
        "usr/lib/sysusers.d/onggi.conf": texts["systemd/onggi.sysusers"],
        "usr/lib/tmpfiles.d/onggi.conf": texts["systemd/onggi.tmpfiles"],
        "usr/share/man/man1/onggi.1.gz": _gzip(texts["onggi.1"]),
        "usr/bin/onggi": _Link("/opt/onggi/current/bin/onggi"),
    }
    for name, text in texts.items():
        if name.startswith("systemd/") and name.endswith((".service", ".socket")):
            parts[f"usr/lib/systemd/system/{Path(name).name}"] = text
    return parts


def _control(control: str, bundle: Bundle, stage: Path) -> dict[str, bytes]:
    held = sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [f"{_md5(path)}  {path.relative_to(stage)}\n" for path in held]
    return {
        "control": control.encode(),
        "md5sums": "".join(sums).encode(),
        "postinst": _POSTINST.read_bytes(),
        "prerm": bundle.texts["uninstall.sh"],
        "postrm": bundle.texts["uninstall.sh"],
    }


def _md5(path: Path) -> str:
    # dpkg --verify knows no other; it finds a disk's faults, not an attacker's.
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _gzip(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def _bytes(part: bytes | Path | _Link) -> int:
    if isinstance(part, _Link):
        return 0
    return part.stat().st_size if isinstance(part, Path) else len(part)


def _lay(path: Path, part: bytes | Path | _Link) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(part, _Link):
        path.symlink_to(part.target)
    elif isinstance(part, Path):
        shutil.copyfile(part, path)
    else:
        path.write_bytes(part)


def _settle(stage: Path, epoch_s: int) -> None:
    """Gives everything its mode and its time, whatever the builder's umask and clock are."""
    for path in (stage, *stage.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or _runs(path) else 0o644)
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)


def _runs(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _dpkg_deb(stage: Path, made: Path, epoch_s: int) -> None:
    # Not compressed, for wheels are already. dpkg-deb sorts the names.
    command = ["env", f"SOURCE_DATE_EPOCH={epoch_s}", "dpkg-deb", "--root-owner-group", "-Znone"]
    done = subprocess.run(
        [*command, "--build", str(stage), str(made)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotBuilt(f"dpkg-deb (Debian's dpkg) failed: {done.stderr.strip()[-2000:]}")
