"""Bundles of this checkout's texts, built in no time: they hold no program."""

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from installer.bundling import archive, manifest

ROOT = Path(__file__).parents[2]
EPOCH_S = 1_790_000_000
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
UNPACKED = 2_048_000  # bytes in the one wheel

Change = Callable[[dict[str, bytes | Path]], None]


def texts() -> dict[str, bytes | Path]:
    """Returns what a bundle holds, with a wheel that holds next to nothing."""
    parts: dict[str, bytes | Path] = {"sbom.cdx.json": b"{}"}
    for folder in ("systemd", "config_templates"):
        for path in (ROOT / folder).iterdir():
            parts[f"{folder}/{path.name}"] = path
    for name in ("install.sh", "uninstall.sh"):
        parts[name] = ROOT / "installer" / name
    parts["LICENSE"] = ROOT / "LICENSE"
    parts["onggi.1"] = ROOT / "docs" / "onggi.1"
    parts["wheels/pip-1-py3-none-any.whl"] = _wheel()
    return parts


def bundle(folder: Path, key: Path, change: Change = lambda _: None, **facts: str) -> Path:
    """Writes a bundle of this checkout's texts; `change` alters it after it was signed."""
    parts = texts()
    said = {"version": "9.9", "variant": "cpu", "python": HERE, "machine": "x86_64"} | facts
    content = manifest.manifest(said, parts)
    signature, _ = manifest.sign(content, key)
    signed: dict[str, bytes | Path] = {
        manifest.NAME: content,
        manifest.SIGNATURE: signature,
        **parts,
    }
    change(signed)
    made = folder / "onggi.bundle"
    archive.write(made, signed, EPOCH_S, manifest.NAME)
    return made


def _wheel() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(zipfile.ZipInfo("pip/__init__.py"), b"#" * UNPACKED)
    return held.getvalue()
