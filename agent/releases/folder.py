"""The folders `releases/<id>/` and the link `releases/active`, swapped by rename.

A release's folder is written elsewhere, made read-only, and renamed into place; after that
nothing in it changes. `releases/previous` remembers what `active` named before.
"""

import re
from pathlib import Path

from agent.errors import Refused
from agent.files import publish_folder, swap_link

WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"
MODEL = "model.onnx"
CARD = "card.json"
PERSONAL = "personal.safetensors"  # fitted here, private heads included; it never leaves
CALIBRATION = "calibration.json"  # widths of intervals and limits of the domain; may be missing
NEIGHBOURS = "neighbours.npz"  # counts of the compounds that it learned from; it never leaves
REQUIRED = (WEIGHTS, MANIFEST, MODEL, CARD)

_ACTIVE, _PREVIOUS = "active", "previous"
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FILE_MODE = 0o440


def path_of(releases: Path, release_id: str) -> Path:
    """Returns the folder of a release.

    Raises:
        Refused: `bad_release_id`: the id is no plain name, or is the name of a link.
    """
    if not _ID.fullmatch(release_id) or release_id in (_ACTIVE, _PREVIOUS):
        raise Refused("bad_release_id", "The release's id cannot be a folder's name.")
    return releases / release_id


def install(staged: Path, releases: Path, release_id: str) -> Path:
    """Moves a finished folder to its place, durably; what stands there already stays.

    Args:
        staged: A folder on the same file system with every file of `REQUIRED`.
        releases: The folder of all releases; it must exist.
        release_id: The name to install it under.

    Returns:
        The release's folder.

    Raises:
        Refused: `bad_release_id`, or `incomplete_release`: a file is missing.
        OSError: The disk is full or the folder is not writable.
    """
    final = path_of(releases, release_id)
    for name in REQUIRED:
        if not (staged / name).is_file():
            raise Refused("incomplete_release", f"The staged release lacks {name}; build it again.")
    for path in staged.iterdir():
        path.chmod(_FILE_MODE)
    publish_folder(staged, final)
    return final


def activate(releases: Path, release_id: str) -> None:
    """Makes `active` name the release; what it named before becomes `previous`.

    Doing it twice is doing it once, and a kill between the two renames is repaired by the next
    call.

    Raises:
        Refused: `bad_release_id`, or `unknown_release`: no such folder is installed.
        OSError: The folder is not writable.
    """
    if not path_of(releases, release_id).is_dir():
        raise Refused("unknown_release", f"No release {release_id} is installed.")
    before = active_id(releases)
    if before == release_id:
        return
    if before is not None:
        swap_link(releases / _PREVIOUS, before)
    swap_link(releases / _ACTIVE, release_id)


def roll_back(releases: Path) -> str:
    """Makes `active` name the previous release again; there is no previous one afterwards.

    Returns:
        The id of the release that is active now.

    Raises:
        Refused: `no_previous_release`.
        OSError: The folder is not writable.
    """
    before = previous_id(releases)
    if before is None:
        raise Refused("no_previous_release", "No release was active before this one.")
    swap_link(releases / _ACTIVE, before)
    return before


def active_id(releases: Path) -> str | None:
    """Returns the id that `active` names, or None before the first release."""
    return _target(releases / _ACTIVE)


def previous_id(releases: Path) -> str | None:
    """Returns the id of the release before the active one, or None."""
    before = _target(releases / _PREVIOUS)
    return None if before == active_id(releases) else before


def _target(link: Path) -> str | None:
    # The link is read, never followed: a target elsewhere is no release.
    try:
        target = link.readlink()
    except OSError:
        return None
    name = str(target)
    return name if _ID.fullmatch(name) and (link.parent / name).is_dir() else None
