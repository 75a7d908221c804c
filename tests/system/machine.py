"""A real systemd, booted within seconds from an overlay of this machine's own root.

Needs root, Debian's systemd-container and iproute2; no image, no network. What is written in it is
gone with it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# Of the machine underneath; none of them belongs to what is tested.
_MASKED = (
    *("postgresql.service", "ssh.service", "systemd-timesyncd.service", "docker.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service", "containerd.service"),
    *("dpkg-db-backup.timer", "man-db.timer"),
)
_BOOT_S = 300
# As root has it there, and not as whoever runs the tests: a virtual environment's PATH would name
# another onggi.
_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
_SIZE = "6G"


class Machine:
    """A booted machine.

    Attributes:
        root: Its root folder, as this machine sees it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._scratch = Path(tempfile.mkdtemp(prefix="onggi-system-"))
        self.root = self._scratch / "merged"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        self._mount()
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def leader(self) -> int:
        """The process number of its init, on this machine."""
        return self._leader

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 1200
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in it as root.

        Raises:
            AssertionError: It failed, and `check` was not turned off; what it printed is shown.
        """
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-a", "--", *command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            cwd="/",
            env=_ENVIRONMENT,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Starts a command in it as root."""
        return subprocess.Popen(
            ["nsenter", "-t", str(self._leader), "-a", "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=_ENVIRONMENT,
        )

    def shows(self, unit: str, word: str) -> str:
        """Returns one of a unit's properties."""
        return self.run("systemctl", "show", "-P", word, unit).stdout.strip()

    def until(self, *command: str, limit_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs a command again and again until it succeeds.

        Raises:
            AssertionError: It never did.
        """
        began = time.monotonic()
        while True:
            done = self.run(*command, check=False)
            if done.returncode == 0:
                return done
            if time.monotonic() - began > limit_s:
                raise AssertionError(f"{command} never succeeded:\n{done.stdout}{done.stderr}")
            time.sleep(0.5)

    def journal(self, unit: str) -> str:
        """Returns what a unit wrote to the journal."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def _mount(self) -> None:
        _do("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(self._scratch))
        for folder in ("upper", "work", "merged"):
            (self._scratch / folder).mkdir()
        layers = f"lowerdir=/,upperdir={self._scratch}/upper,workdir={self._scratch}/work"
        _do("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        units = self.root / "etc/systemd/system"
        for unit in _MASKED:
            (units / unit).unlink(missing_ok=True)
            (units / unit).symlink_to("/dev/null")
        (self.root / "etc/fstab").write_text("")
        (self.root / "etc/machine-id").write_text("")

    def _boot(self) -> None:
        command = [
            *("systemd-nspawn", "--boot", f"--directory={self.root}", f"--machine={self._name}"),
            *("--register=no", "--keep-unit", "--private-network", "--link-journal=no"),
            *("--capability=all", "--system-call-filter=bpf", "--console=pipe"),
        ]
        with (self._scratch / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                ["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        began = time.monotonic()
        while time.monotonic() - began < _BOOT_S:
            self._leader = _child_of(self._nspawn.pid)
            if self._leader:
                said = self.run("systemctl", "is-system-running", check=False).stdout.strip()
                if said in {"running", "degraded"}:
                    return
            time.sleep(0.2)
        raise AssertionError(f"It did not boot:\n{(self._scratch / 'console').read_text()}")

    def _end(self) -> None:
        if self._leader:
            _signal(self._leader)
        if self._nspawn:
            with suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(20)
            self._nspawn.kill()
            self._nspawn.wait()
        subprocess.run(["umount", "-l", str(self.root), str(self._scratch)], check=False)
        with suppress(OSError):
            self._scratch.rmdir()


def _do(*command: str) -> None:
    subprocess.run(command, check=True)


def _signal(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _child_of(parent: int) -> int:
    """Returns the first child of nspawn, which is the machine's init; 0 before there is one."""
    said = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
    ).stdout.split()
    return int(said[0]) if said else 0


def missing() -> str:
    """Says what a machine cannot be booted for; empty where it can."""
    if os.geteuid() != 0:
        return "root is needed"
    for program in ("systemd-nspawn", "nsenter", "mount", "pgrep", "ip"):
        if shutil.which(program) is None:
            return f"{program} is missing (apt-get install systemd-container iproute2)"
    return ""


def main() -> int:
    """Boots a machine, says whether that went well, and ends it; the exit code says so, too."""
    if why := missing():
        print(f"No machine can be booted here: {why}.")
        return 1
    try:
        with Machine("onggi-probe") as booted:
            print(f"A machine boots here: {booted.run('systemctl', '--version').stdout[:11]}.")
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        print(f"No machine can be booted here: {str(error)[:500]}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
