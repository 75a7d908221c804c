"""What opens this silo's keys: handed over by systemd, or opened for a command of root's.

A service finds it in `$CREDENTIALS_DIRECTORY`. A command that a person runs has no such folder; so
root's asks systemd-creds to open the very files that the units name, beside the configuration.
"""

import os
import subprocess
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import click

from agent.errors import Stop

if TYPE_CHECKING:
    from agent.key_ring import RingKey, Rings

# As the units and install.sh name them.
_NAMES = {"keeper": "onggi-keys", "courier": "onggi-courier-keys"}
_OPENER = "systemd-creds"

CREDENTIALS = click.option(
    "--credentials",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="CREDENTIALS_DIRECTORY",
    hidden=True,
    help="Where systemd lays the credentials of a unit.",
)


def ring_of(service: str, config_path: Path, credentials: Path | None) -> "RingKey | None":
    """Returns the key of a service's key ring; None where there is none, or it is not ours to have.

    Args:
        service: Whose.
        config_path: The configuration; the encrypted credentials are beside it.
        credentials: The folder of this unit's credentials, or None.

    Raises:
        Stop: It cannot be opened on this host.
    """
    from agent.key_ring import read_ring

    name = _NAMES.get(service)
    if name is None:
        return None  # predict and the readers have no keys
    handed = read_ring(credentials / name) if credentials is not None else None
    if handed is not None or os.geteuid() != 0:
        return handed
    sealed = config_path.absolute().parent / "credentials" / f"{name}.cred"
    return _opened(sealed, name) if sealed.exists() else None


def rings_of(config_path: Path, credentials: Path | None) -> "Rings":
    """Returns both, for a command that root runs.

    Raises:
        Stop: One cannot be opened on this host.
    """
    from agent.key_ring import Rings

    return Rings(
        ring_of("keeper", config_path, credentials), ring_of("courier", config_path, credentials)
    )


def _opened(sealed: Path, name: str) -> "RingKey":
    found = _asked(sealed, name)
    if isinstance(found, str):
        raise Stop(
            f"{sealed} cannot be opened ({found}): it opens on the host alone where install.sh "
            "made it. On another host, enrol anew, under another name."
        )
    return found


def _asked(sealed: Path, name: str) -> "RingKey | str":
    # Says what is wrong instead of raising it: the locals of this frame are the secret.
    from agent.key_ring import KEY_BYTES, RingKey

    program = which(_OPENER)
    if program is None:
        return f"{_OPENER} is not on this host"
    done = subprocess.run(
        [program, "decrypt", f"--name={name}", str(sealed), "-"], capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").split("\n")
        return next((line for line in reversed(said) if line), f"exit {done.returncode}")
    if len(done.stdout) != KEY_BYTES:
        return f"it holds {len(done.stdout)} bytes and not {KEY_BYTES}"
    return RingKey(done.stdout)
