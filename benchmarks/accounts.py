"""Reads every file of a data folder through its profile and prints what became of its rows.

`python -m benchmarks.accounts --data FOLDER [--json PATH]`; the profiles are those beside this
module. It fails if an account does not balance, or a file of the folder has no profile.
"""

import argparse
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.assays.curate import curate
from agent.assays.endpoints import EndpointIndex, together
from agent.errors import Stop
from agent.files import write_atomic
from agent.stores.profile import load_profile
from agent.stores.readers import read
from agent.wire.documents import Endpoint
from consortium.catalogue import default_catalogue

PROFILES = Path(__file__).parent / "profiles"
_NEEDS_NO_PROFILE = "kmelloddy"

Account = dict[str, Any]


def private_endpoints() -> tuple[Endpoint, ...]:
    """Returns the endpoints that the profiles declare, which the default catalogue lacks."""
    names = sorted(set(profiles_by_file().values()))
    return together(*(load_profile(PROFILES / f"{name}.toml").own_endpoints for name in names))


def profiles_by_file() -> dict[str, str]:
    """Returns the name of each file's profile, by the file's path in the data folder."""
    found: dict[str, str] = tomllib.loads((PROFILES / "files.toml").read_text())["files"]
    return found


def account(path: Path, profile: Path, index: EndpointIndex) -> Account:
    """Reads one file and counts what became of its measurements.

    Raises:
        Stop: The account does not balance: a measurement was lost.
        Refused: The file as a whole cannot be used.
    """
    curated = curate(read(path, "table", load_profile(profile)), index)
    used, aside = len(curated.measurements), len(curated.set_aside)
    if curated.read != used + aside + curated.blank:
        raise Stop(f"The account of {path.name} does not balance; a measurement was lost.")
    censored = Counter(entry.task for entry in curated.measurements if entry.qualifier != "=")
    tasks = Counter(entry.task for entry in curated.measurements)
    return {
        "read": curated.read,
        "used": used,
        "set_aside": dict(Counter(entry.code for entry in curated.set_aside).most_common()),
        "blank": curated.blank,
        "tasks": {task: {"n": n, "censored": censored[task]} for task, n in tasks.items()},
    }


def accounts(folder: Path) -> dict[str, Account]:
    """Returns the account of every file of the folder that has a profile.

    Raises:
        Stop: A CSV file of the folder has no profile, or an account does not balance.
    """
    index = EndpointIndex(default_catalogue("benchmark"), private_endpoints())
    profiles = profiles_by_file()
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.csv")}
    strange = {name for name in found - set(profiles) if not name.startswith(_NEEDS_NO_PROFILE)}
    if strange:
        raise Stop(f"No profile reads {', '.join(sorted(strange))}; add one and list it.")
    return {
        name: account(folder / name, PROFILES / f"{profiles[name]}.toml", index)
        for name in sorted(found & set(profiles))
    }


def _print(found: dict[str, Account]) -> None:
    table = Table("file", "read", "used", "blank", "set aside", "tasks: n (censored)")
    for name, entry in found.items():
        reasons = "\n".join(f"{code} {count}" for code, count in entry["set_aside"].items())
        tasks = "\n".join(f"{t}: {c['n']} ({c['censored']})" for t, c in entry["tasks"].items())
        counts = (str(entry[key]) for key in ("read", "used", "blank"))
        table.add_row(name, *counts, reasons, tasks)
    Console(width=140).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accounts", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the data sets.")
    parser.add_argument("--json", type=Path, help="Where to write the accounts.")
    chosen = parser.parse_args(arguments)
    found = accounts(chosen.data)
    _print(found)
    if chosen.json:
        write_atomic(chosen.json, json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
