"""Reading and curating files, each into a part named by what went into it."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.assays.curate import Curated, curate_in_batches
from agent.assays.endpoints import EndpointIndex
from agent.assays.identity import Identifier
from agent.assays.parts import PartSummary, Source, write_part_in_batches
from agent.errors import OnggiError, Refused
from agent.files import sha256_file
from agent.keeper.orders import FileOrder, FileResult, IngestOrder, Report, Result
from agent.stores.profile import KMELLODDY, Profile, load_profile
from agent.stores.readers import read


def ingest(order: IngestOrder, folder: Path, report: Report) -> Result:
    """Reads each file of the order; one that cannot be read is refused, the others go on.

    Raises:
        Refused: `bad_profile`: the store's mapping profile cannot be used.
    """
    profile = _profile(order)
    index = EndpointIndex(order.catalogue, order.private)
    meaning = _meaning(order, profile)
    (folder / "parts").mkdir(exist_ok=True)
    results = []
    with _identifier(order) as identifier:
        for number, file in enumerate(order.files):
            report(f"reading files of {order.store}", number, len(order.files))
            curated = curate_in_batches(
                read(Path(file.path), order.reader, profile),
                index,
                identify_all=identifier.identify_all,
            )
            source = Source(order.store, file.item, "", profile.sha256, profile.version)
            results.append(_ingest_one(file, curated, source, meaning, folder / "parts"))
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


def _ingest_one(
    file: FileOrder, curated: Iterator[Curated], source: Source, meaning: str, staged: Path
) -> FileResult:
    path = Path(file.path)
    try:
        sha256 = sha256_file(path)
        part = hashlib.sha256(f"{sha256}\n{meaning}".encode()).hexdigest()[:32]
        # A part that is there already is the same content under another name: it counts once.
        source = replace(source, sha256=sha256)
        summary = write_part_in_batches(staged / part, curated, source)
        if _changed(path, file):
            return FileResult(item=file.item, changed=True)
    except FileNotFoundError:
        return FileResult(item=file.item, code="gone", refused="The file went away; drop it again.")
    except PermissionError:
        reason = "This user may not read the file; give it the permission, nothing else is needed."
        return FileResult(item=file.item, code="no_permission", refused=reason)
    except OSError as error:
        reason = f"The file cannot be read: {error.strerror}. Check its permissions."
        return FileResult(item=file.item, code="unreadable_file", refused=reason)
    except Refused as error:
        if _changed(path, file):  # it was refused half written
            return FileResult(item=file.item, changed=True)
        return FileResult(item=file.item, code=error.code, refused=error.reason)
    return _result(file.item, part, summary)


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
