"""Reading and curating files, each into a part named by what went into it."""

import hashlib
from pathlib import Path

from agent.assays.curate import curate
from agent.assays.endpoints import EndpointIndex
from agent.assays.parts import PartSummary, Source, write_part
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
    for number, file in enumerate(order.files):
        report(f"reading files of {order.store}", number, len(order.files))
        results.append(_ingest_one(order, file, index, profile, meaning, folder / "parts"))
    return Result(files=tuple(results))


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
    order: IngestOrder,
    file: FileOrder,
    index: EndpointIndex,
    profile: Profile,
    meaning: str,
    staged: Path,
) -> FileResult:
    path = Path(file.path)
    try:
        sha256 = sha256_file(path)
        part = hashlib.sha256(f"{sha256}\n{meaning}".encode()).hexdigest()[:32]
        source = Source(order.store, file.item, sha256, profile.sha256, profile.version)
        curated = curate(read(path, order.reader, profile), index)
        # A part that is there already is the same content under another name: it counts once.
        summary = write_part(staged / part, curated, source)
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
