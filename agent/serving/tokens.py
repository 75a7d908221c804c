"""The site's own tokens: made and revoked by commands, known to predict by their hashes.

A secret is 32 random bytes, so its plain SHA-256 is enough at rest: there is no dictionary to try,
as there is for passwords, and a slow hash would cost every request what it costs an attacker.
"""

import fcntl
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from agent import clock
from agent.errors import Refused, Stop
from agent.files import sha256_bytes, write_atomic
from agent.serving.callers import Scope
from agent.toml import Section

FILE = "tokens.json"
PREFIX = "ong_"  # so that scanners of source code and of chats know one when they see it
_SECRET_BYTES = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_RESERVED = frozenset({"local", "anonymous"})  # those who come without a token
_INDEX = 16  # hexadecimal digits of a hash by which it is found; the whole is then compared


class Token(Section):
    """What is kept of a token.

    Attributes:
        name: Who it was given to; no two in force have the same.
        sha256: Of the secret.
        scopes: What its bearer may do.
        rate_per_minute: How many requests a minute; 0 leaves it to the configuration.
        created, expires, revoked: When, as RFC 3339 in UTC; the last two may be empty.
    """

    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    rate_per_minute: int = 0
    created: str
    expires: str = ""
    revoked: str = ""

    def state(self, now: datetime) -> Literal["in force", "expired", "revoked"]:
        """Tells whether it counts."""
        if self.revoked:
            return "revoked"
        return "expired" if self.expires and clock.from_text(self.expires) <= now else "in force"


class _File(Section):
    version: Literal[1] = 1
    tokens: tuple[Token, ...] = ()


class Known:
    """Tokens, to be found by what a caller shows.

    Args:
        tokens: All that were ever made, the revoked among them.
    """

    def __init__(self, tokens: Sequence[Token] = ()) -> None:
        self.tokens = tuple(tokens)
        self._by_start = {token.sha256[:_INDEX]: token for token in self.tokens}

    def find(self, secret: bytes) -> Token | None:
        """Returns the token whose secret this is."""
        digest = sha256_bytes(secret)
        token = self._by_start.get(digest[:_INDEX])
        if token is None or not hmac.compare_digest(token.sha256, digest):
            return None
        return token


def parse(content: bytes) -> Known:
    """Reads the file's content.

    Raises:
        ValueError: It is not what `add` writes.
    """
    file = _File.model_validate_json(content)
    for token in file.tokens:
        clock.from_text(token.expires or token.created)
    return Known(file.tokens)


def read(folder: Path) -> tuple[Token, ...]:
    """Returns every token that was made, the oldest first.

    Args:
        folder: Predict's own state folder.

    Raises:
        Stop: The file cannot be read, or is none of ours.
    """
    path = folder / FILE
    try:
        return parse(path.read_bytes()).tokens
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError, ValueError) as error:
        raise Stop(
            f"The tokens in {path} cannot be read ({_why(error)}); run this as root or as "
            "predict's user, or restore the file from a backup."
        ) from None


def add(folder: Path, token: Token, now: datetime) -> str:
    """Makes a token.

    Args:
        folder: Predict's own state folder.
        token: Its name, scopes, rate and end; its hash is filled in here.
        now: The time.

    Returns:
        The secret, which is nowhere else from now on.

    Raises:
        Refused: `bad_name`, or `name_in_use`: a token of that name is in force.
        Stop: The file cannot be read or written.
    """
    if not _NAME.fullmatch(token.name) or token.name in _RESERVED:
        raise Refused(
            "bad_name",
            "A name is 1 to 63 small letters, digits, dots, dashes and underscores, and neither "
            "`local` nor `anonymous`; choose another.",
        )
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    with _held(folder):
        tokens = read(folder)
        if any(one.name == token.name and one.state(now) == "in force" for one in tokens):
            sentence = (
                f"A token named {token.name} is in force; choose another, or revoke it first."
            )
            raise Refused("name_in_use", sentence)
        made = token.model_copy(update={"sha256": sha256_bytes(secret.encode())})
        _write(folder, (*tokens, made))
    return secret


def revoke(folder: Path, name: str, now: datetime) -> None:
    """Ends a token; predict refuses it from the next request on.

    Raises:
        Refused: `unknown_token`: none of that name is left to revoke.
        Stop: The file cannot be read or written.
    """
    with _held(folder):
        tokens = read(folder)
        if not any(one.name == name and not one.revoked for one in tokens):
            sentence = f"No token named {name} is left to revoke; see `onggi token list`."
            raise Refused("unknown_token", sentence)
        ended = {"revoked": clock.to_text(now)}
        _write(
            folder,
            [
                one.model_copy(update=ended) if one.name == name and not one.revoked else one
                for one in tokens
            ],
        )


def drafted(
    name: str, scopes: Sequence[Scope], rate_per_minute: int, days: int | None, now: datetime
) -> Token:
    """Returns a token that has no secret yet; `days` is how long it will count."""
    return Token(
        name=name,
        sha256="",
        scopes=tuple(dict.fromkeys(scopes)),
        rate_per_minute=rate_per_minute,
        created=clock.to_text(now),
        expires=clock.to_text(now + timedelta(days=days)) if days else "",
    )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    # The folder itself is what is locked: a lock's file that root made is closed to predict's user.
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Stop(f"Cannot open {folder} ({error.strerror}); run this as root.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(folder: Path, tokens: Sequence[Token]) -> None:
    content = _File(tokens=tuple(tokens)).model_dump_json(indent=1).encode()
    # Root writes, predict reads: the folder's setgid hands predict's group on, and a umask of 077
    # would shut it out.
    before = os.umask(0o027)
    try:
        write_atomic(folder / FILE, content)
    except OSError as error:
        raise Stop(
            f"Cannot write {folder / FILE} ({error.strerror}); run this as root or as predict's "
            "user, and see that the disk is not full."
        ) from error
    finally:
        os.umask(before)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it is not what `onggi token` writes"
