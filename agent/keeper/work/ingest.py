"""Reading and curating files, each into a part named by what went into it."""

import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from polars.exceptions import PolarsError

from agent.assays.curate import Curated, curate_in_batches
from agent.assays.endpoints import EndpointIndex
from agent.assays.identity import Identifier
from agent.assays.parts import PartSummary, Source, read_counts, write_part_in_batches
from agent.errors import OnggiError, Refused
from agent.files import sha256_file
from agent.keeper import passing
from agent.keeper.orders import FileOrder, FileResult, IngestOrder, Report, Result
from agent.stores.profile import KMELLODDY, Profile, load_profile
from agent.stores.readers import read

_YOUNG = 50_000  # objects between two looks of the garbage collector


def ingest(order: IngestOrder, folder: Path, report: Report) -> Result:
    """Reads each file of the order; one that cannot be read is refused, the others go on.

    Raises:
        Refused: `bad_profile`: the store's mapping profile cannot be used.
    """
    profile = _profile(order)
    index = EndpointIndex(order.catalogue, order.private)
    meaning = _meaning(order, profile)
    staged = folder / "parts"
    staged.mkdir(exist_ok=True)
    # What was imported stays, and rows hold no cycles: walking all of it again and again took as
    # long as curating them.
    gc.freeze()
    gc.set_threshold(_YOUNG)
    results = []
    with _identifier(order) as identifier:
        for number, file in enumerate(order.files):
            tell = partial(report, f"reading files of {order.store}", number, len(order.files))
            tell()
            curated = curate_in_batches(
                read(Path(file.path), order.reader, profile),
                index,
                # A long file is told of as it is read, or its worker would pass for one that hangs.
                partial(_told, tell),
                identifier.begin,
            )
            source = Source(order.store, file.item, "", profile.sha256, profile.version)
            try:
                part = _part(file, meaning)
                known = _known(file, part, Path(order.parts) / part.name)
                results.append(known or _ingest_one(file, curated, source, part, staged))
            except (OSError, Refused) as error:
                results.append(_refused(file, error))
    return Result(files=tuple(results))


def _identifier(order: IngestOrder) -> Identifier:
    cores = len(os.sched_getaffinity(0))
    path = Path(order.identities) if order.identities else None
    return Identifier(path, order.processes or cores)


def _profile(order: IngestOrder) -> Profile:
    if not order.profile:
        return KMELLODDY
    try:
        return load_profile(Path(order.profile))
    except OnggiError as error:
        raise Refused("bad_profile", str(error)) from error


def _meaning(order: IngestOrder, profile: Profile) -> str:
    # What the same bytes mean: another catalogue or profile makes another part of them.
    parts = [order.reader, profile.sha256, order.catalogue.model_dump_json()]
    parts += [endpoint.model_dump_json() for endpoint in order.private]
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a part is called: the file's content, and what that means."""

    sha256: str
    name: str


def _part(file: FileOrder, meaning: str) -> _Part:
    sha256 = sha256_file(Path(file.path))
    return _Part(sha256, hashlib.sha256(f"{sha256}\n{meaning}".encode()).hexdigest()[:32])


def _known(file: FileOrder, part: _Part, folder: Path) -> FileResult | None:
    """Returns the account of a file whose content was read before, with the same meaning."""
    if not folder.exists() or _changed(Path(file.path), file):
        return None
    try:
        counts = read_counts(folder)
    except Refused:  # damaged: it is read anew, and the trouble shows where parts are joined
        return None
    known = {"item": file.item, "sha256": part.sha256, "part": part.name}
    return FileResult.model_validate({**known, **counts})


def _ingest_one(
    file: FileOrder, curated: Iterator[Curated], source: Source, part: _Part, staged: Path
) -> FileResult:
    path = Path(file.path)
    folder = staged / part.name
    summary = _write(folder, curated, replace(source, sha256=part.sha256))
    if _changed(path, file):
        shutil.rmtree(folder)  # what was read need not be what its name promises
        return FileResult(item=file.item, changed=True)
    return _result(file.item, part.name, summary)


def _write(folder: Path, curated: Iterator[Curated], source: Source) -> PartSummary:
    # The file is read as its part is written; readers wrap their own faults.
    try:
        return write_part_in_batches(folder, curated, source)
    except (OSError, PolarsError) as error:  # polars has no class of its own for a full disk
        why = error.strerror if isinstance(error, OSError) else "the disk is full or failing"
        raise Refused(
            passing.CODE,
            f"The file is well, but what was read of it cannot be kept: {why}. "
            "Free space in the state folder; the file is read again by itself.",
        ) from error


def _told(tell: Callable[[], None], _read: int) -> None:
    tell()


def _refused(file: FileOrder, error: OSError | Refused) -> FileResult:
    if isinstance(error, Refused) and _changed(Path(file.path), file):  # refused half written
        return FileResult(item=file.item, changed=True)
    code, reason = _code_and_reason(error)
    return FileResult(item=file.item, code=code, refused=reason)


def _code_and_reason(error: OSError | Refused) -> tuple[str, str]:
    if isinstance(error, Refused):
        # Readers give every fault of a file a final name; the cause tells whether it may pass.
        if error.code == passing.CODE or not passing.is_passing(error.__cause__):
            return error.code, error.reason
        return _code_and_reason(cast("OSError", error.__cause__))
    if passing.is_passing(error):
        reason = f"The file cannot be read just now: {error.strerror}. It is read again by itself."
        return passing.CODE, reason
    if isinstance(error, FileNotFoundError):
        return "gone", "The file went away; drop it again."
    if isinstance(error, PermissionError):
        reason = "This user may not read the file; give it the permission, nothing else is needed."
        return "no_permission", reason
    return "unreadable_file", f"The file cannot be read: {error.strerror}. Check its permissions."


def _changed(path: Path, file: FileOrder) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) != (file.size, file.mtime_ns)


def _result(item: str, part: str, summary: PartSummary) -> FileResult:
    return FileResult(
        item=item,
        sha256=summary.source.sha256,
        part=part,
        read=summary.read,
        used=summary.used,
        set_aside=summary.set_aside,
        blank=summary.blank,
    )
