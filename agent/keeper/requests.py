"""What people ask of the keeper: commands write requests, the keeper alone writes the ledger.

A request is a file that only root and the keeper's user can lay into the folder. It names who
asks; the account which owns the file stands beside that name in the ledger, as it cannot be made
up.
"""

import logging
import os
import pwd
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent import log
from agent.clock import to_text
from agent.errors import Refused
from agent.files import write_atomic
from agent.wire.document import Document, Moment

_log = logging.getLogger(__name__)
_LONGEST = 4096
Action = Literal["hold", "approve", "refuse", "root", "settle", "figures"]


class Request(Document):
    """One thing to do.

    Attributes:
        action: `hold`, `approve` or `refuse` an envelope; sign the egress log's `root` now;
            `settle` an alarm of the reconciliation, because a person has looked; or book a file of
            encrypted `figures` that a person carries.
        envelope_id: Empty where it is about none; the file's SHA-256.
        by: Who asks, as they call themselves.
        about, bytes: Of such a file: the release, and how large it is.
    """

    action: Action
    envelope_id: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    by: Annotated[str, Field(max_length=100)] = ""
    about: Annotated[str, Field(max_length=63)] = ""
    bytes: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    asked: Moment


def ask(folder: Path, request: Request) -> Path:
    """Lays a request into the keeper's folder.

    Returns:
        Its file; the keeper removes it when it is done.

    Raises:
        OSError: The folder is not there, or this account may not write to it.
    """
    # The time comes first, so that the keeper takes them in the order of asking.
    path = folder / f"{request.asked.replace(':', '')}-{secrets.token_hex(4)}.json"
    write_atomic(path, request.to_bytes())
    return path


def take_all(folder: Path, do: Callable[[Request, str], None]) -> None:
    """Does every waiting request and removes it; what cannot be done is logged by its code.

    Args:
        folder: Where they lie.
        do: Does one; gets the request and who asked: the name, and the account of the file.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            request, account = _read(path)
            do(request, f"{request.by} ({account})" if request.by else account)
        except Refused as error:
            log.trouble(_log, "request refused", code=error.code)
        path.unlink(missing_ok=True)


def new_request(
    action: Action, envelope_id: str, by: str, now: datetime, carried: tuple[str, int] = ("", 0)
) -> Request:
    """Returns a request of now.

    Args:
        action: What to do.
        envelope_id: With what.
        by: Who asks.
        now: The time.
        carried: Of a file that a person carries: what it is about, and its bytes.
    """
    about, size = carried
    return Request(
        action=action, envelope_id=envelope_id, by=by, about=about, bytes=size, asked=to_text(now)
    )


def _read(path: Path) -> tuple[Request, str]:
    try:
        with path.open("rb") as handle:
            content, owner = handle.read(_LONGEST), os.fstat(handle.fileno()).st_uid
    except OSError as error:
        raise Refused("unreadable", "A request cannot be read.") from error
    return Request.parse(content), _account(owner)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
