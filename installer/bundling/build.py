"""`installer/build-bundle`: one file from which a host without a network is installed."""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from installer.bundling import archive, manifest, sbom, wheels
from installer.bundling.wheels import NotBuilt, Target

ROOT = Path(__file__).parents[2]
TORCH = "torch==2.13.0"
VARIANTS = ("predict-only", "cpu", "gpu")
# What only curating, training, privacy and the courier need: a host that predicts does without.
_NOT_TO_PREDICT = frozenset(
    {
        *("absl-py", "apscheduler", "dm-tree", "dp-accounting", "mpmath", "polars"),
        *("polars-runtime-32", "python-calamine", "scipy", "securesystemslib", "sqlalchemy"),
        *("tuf", "tzlocal", "watchdog", "wrapt"),
    }
)
_MOST_TO_PREDICT = 150_000_000  # bytes
_TEXTS = ("config_templates", "systemd")


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds a bundle and says what it made; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.new_key:
            manifest.new_key(chosen.new_key)
            print(f"{chosen.new_key} is the key; its .pub goes to whoever installs.")
            return 0
        made = build(chosen)
    except (NotBuilt, FileExistsError) as error:
        print(f"build-bundle: {error}", file=sys.stderr)
        return 78
    size = made.stat().st_size / 1e6
    print(f"{made}\n{size:.1f} MB, SHA-256 {wheels.sha256_of(made)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build-bundle", description=__doc__)
    parser.add_argument("--variant", choices=VARIANTS, default="cpu")
    parser.add_argument("--python", default="3.11", help="The host's Python, such as 3.12.")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="Folder of the bundle.")
    parser.add_argument("--source", type=Path, default=ROOT, help="Another checkout than this.")
    parser.add_argument("--key", type=Path, help="The key that signs it; see --new-key.")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="Make such a key, and end.")
    parser.add_argument("--torch-index", help="Index of CPU or CUDA builds of torch.")
    parser.add_argument(
        "--wheels", type=Path, help="A folder that keeps wheels for the next build."
    )
    return parser


def build(chosen: argparse.Namespace) -> Path:
    """Builds the bundle and returns its path.

    Raises:
        NotBuilt: Something is missing; the sentence says what to do.
    """
    if chosen.key is None:
        raise NotBuilt("A bundle is signed: give --key FILE (--new-key FILE makes one).")
    target = Target(chosen.python)
    with tempfile.TemporaryDirectory() as scratch:
        epoch_s, source = _source(chosen.source, Path(scratch))
        folder = chosen.wheels or Path(scratch) / "wheels"
        parts = _texts(source)
        fresh = _wheels(chosen, target, source, folder)
        wheels.own(source, fresh, epoch_s)
        found = [wheels.read(path) for path in sorted(fresh.glob("*.whl"))]
        parts |= {f"wheels/{one.path.name}": one.path for one in found}
        version = next(one.version for one in found if one.name == "onggi")
        parts["sbom.cdx.json"] = sbom.sbom(version, found, epoch_s)
        name = f"onggi-{version}-{chosen.variant}-{target.abi}-linux_{target.machine}"
        facts = {"version": version, "variant": chosen.variant, "python": target.python}
        parts |= _signed(facts | {"machine": target.machine}, parts, chosen.key)
        made = Path(chosen.out) / f"{name}.bundle"
        made.parent.mkdir(parents=True, exist_ok=True)
        archive.write(made, parts, epoch_s, manifest.NAME)
    _check_size(chosen.variant, made)
    return made


def _signed(facts: dict[str, str], parts: dict[str, bytes | Path], key: Path) -> dict[str, bytes]:
    content = manifest.manifest(facts, parts)
    signature, _ = manifest.sign(content, key)
    return {manifest.NAME: content, manifest.SIGNATURE: signature}


def _source(checkout: Path, scratch: Path) -> tuple[int, Path]:
    """Lays out the committed sources, so that nothing of a working copy gets in.

    Returns:
        The commit's time in seconds since 1970, and the folder.
    """
    source = scratch / "source"
    packed = scratch / "source.tar"
    try:
        said = subprocess.run(
            ["git", "log", "-1", "--format=%ct"], cwd=checkout, capture_output=True, check=True
        )
        subprocess.run(
            ["git", "archive", "--format=tar", f"--output={packed}", "HEAD"],
            cwd=checkout,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotBuilt("A bundle is built from a git checkout, so that it can be named.") from error
    with tarfile.open(packed) as archived:
        archived.extractall(source, filter="data")
    return int(said.stdout), source


def _texts(source: Path) -> dict[str, bytes | Path]:
    names = [path for folder in _TEXTS for path in (source / folder).iterdir() if path.is_file()]
    parts: dict[str, bytes | Path] = {
        str(path.relative_to(source)): path.read_bytes() for path in names
    }
    for script in sorted((source / "installer").glob("*.sh")):
        parts[script.name] = script.read_bytes()
    parts["LICENSE"] = (source / "LICENSE").read_bytes()
    parts["onggi.1"] = (source / "docs" / "onggi.1").read_bytes()
    return parts


def _wheels(chosen: argparse.Namespace, target: Target, source: Path, folder: Path) -> Path:
    """Fetches the wheels of others into a folder of their own, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{chosen.variant}-{target.abi}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    kept = ["--find-links", str(folder)] if chosen.wheels else []
    for lock in _locks(chosen.variant, source / "installer"):
        text = lock.read_text()
        if chosen.variant == "predict-only":
            text = wheels.without(text, _NOT_TO_PREDICT)
        wanted = fresh / lock.name
        wanted.write_text(text)
        _fetch_locked(target, fresh, wanted, kept)
        wanted.unlink()
    if chosen.variant != "predict-only":
        index = ["--index-url", chosen.torch_index] if chosen.torch_index else []
        # A build for CUDA brings NVIDIA's libraries along, which differ from build to build.
        alone = ["--no-deps"] if chosen.variant == "cpu" else []
        wheels.fetch(target, fresh, [*kept, *index, *alone, TORCH])
    for wheel in fresh.glob("*.whl"):
        (folder / wheel.name).unlink(missing_ok=True)
        (folder / wheel.name).hardlink_to(wheel)
    return fresh


def _fetch_locked(target: Target, fresh: Path, lock: Path, kept: list[str]) -> None:
    """Asks nobody if all wheels were kept; their hashes say which ones they are."""
    wanted = [*kept, "--no-deps", "--require-hashes", "-r", str(lock)]
    if kept:
        with suppress(NotBuilt):
            wheels.fetch(target, fresh, ["--no-index", *wanted])
            return
    wheels.fetch(target, fresh, wanted)


def _locks(variant: str, installer: Path) -> list[Path]:
    names = ["pip-lock.txt", "runtime-lock.txt"]
    return [installer / name for name in names + ["torch-lock.txt"] * (variant != "predict-only")]


def _check_size(variant: str, made: Path) -> None:
    size = made.stat().st_size
    if variant == "predict-only" and size >= _MOST_TO_PREDICT:
        raise NotBuilt(f"{made.name} has {size / 1e6:.0f} MB, and 150 is the most; leave more out.")
