"""Bundles of this checkout, and of changed copies of it."""

import subprocess
import sys
from pathlib import Path


class Bundles:
    """Builds bundles once each, signed by one key.

    Attributes:
        key: The public half of that key.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._private = folder / "release.key"
        self._run("--new-key", str(self._private))
        self.key = folder / "release.pub"
        self._made: dict[tuple[str, str], Path] = {}

    def of(self, variant: str, *, version: str = "", broken: bool = False) -> Path:
        """Returns a bundle.

        Args:
            variant: `cpu` or `predict-only`.
            version: Another version than the checkout's.
            broken: Its services end as soon as they start.
        """
        if (variant, version) not in self._made:
            source = self._changed(version, broken=broken) if version else self._root
            out = self._folder / (version or "own")
            kept = self._root / "build" / "wheels"
            where = ["--out", str(out), "--source", str(source), "--wheels", str(kept)]
            self._run("--variant", variant, "--key", str(self._private), *where)
            (self._made[variant, version],) = out.glob(f"*-{variant}-*.bundle")
        return self._made[variant, version]

    def _changed(self, version: str, *, broken: bool) -> Path:
        copy = self._folder / f"source-{version}"
        _git(self._root, "clone", "--quiet", "--no-hardlinks", str(self._root), str(copy))
        for path in (copy / "pyproject.toml", copy / "agent" / "__init__.py"):
            text = path.read_text()
            changed = text.replace('= "0.1.0"', f'= "{version}"', 1)
            assert changed != text, "the version has risen: say so here and in the tests"
            path.write_text(changed)
        if broken:
            main = copy / "agent" / "__main__.py"
            main.write_text('raise SystemExit("This version is broken, for a test.")\n')
            program = copy / "agent" / "cli" / "main.py"
            program.write_text("def main() -> None:\n    raise SystemExit(1)\n")
        who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        _git(copy, *who, "commit", "--quiet", "--all", "--message", f"Become {version}")
        return copy

    def _run(self, *arguments: str) -> None:
        command = [sys.executable, str(self._root / "installer" / "build-bundle"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)
