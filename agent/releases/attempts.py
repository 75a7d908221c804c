"""The account of attempts to load a release: counted on disk before each, so a crash counts too.

Predict is its one writer; the keeper reads it and makes of a trial an active release or one that
is rolled back. It stands here because both need it and neither may import the other.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.files import write_atomic
from agent.records import Json

MAX_ATTEMPTS = 3
FILE = "attempts.json"
_KEPT_GOOD = 8


@dataclass(frozen=True, slots=True)
class Account:
    """What happened to one release so far.

    Attributes:
        begun: Attempts since it last loaded; each is on disk before it begins.
        loaded: Whether it ever loaded and answered its warm-up.
        reason: A sentence from the last failure; empty after a success or a crash.
        unfit: It loaded and then failed requests; it is not tried again.
        trying: An attempt is under way, or was when predict died; nobody may judge it yet.
    """

    begun: int = 0
    loaded: bool = False
    reason: str = ""
    unfit: bool = False
    trying: bool = False


class Attempts:
    """Reads and writes the account in a folder; nothing is held in memory.

    Args:
        folder: Predict's own state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def begin(self, release_id: str) -> None:
        """Counts an attempt durably; call it before loading.

        Raises:
            OSError: It cannot be counted, so the load must not begin.
        """
        account = self.account(release_id)
        account = replace(account, begun=account.begun + 1, reason="", trying=True)
        self._write(release_id, account)

    def succeeded(self, release_id: str) -> None:
        """Notes that it loaded and answered; its count starts anew.

        Raises:
            OSError: The disk is full or the folder is not writable.
        """
        self._write(release_id, Account(begun=0, loaded=True))

    def failed(self, release_id: str, reason: str) -> None:
        """Notes why the attempt that `begin` counted failed.

        Raises:
            OSError: The disk is full or the folder is not writable.
        """
        account = replace(self.account(release_id), reason=reason, trying=False)
        self._write(release_id, account)

    def settle(self) -> None:
        """Notes once after a start that an attempt which was under way ended with the process.

        Raises:
            OSError: The disk is full or the folder is not writable.
        """
        for release_id, account in self._read()[0].items():
            if account.trying:
                self._write(release_id, replace(account, trying=False))

    def called_off(self, release_id: str) -> None:
        """Takes back the attempt that `begin` counted: this process ended it, not the release.

        Raises:
            OSError: The disk is full or the folder is not writable.
        """
        account = self.account(release_id)
        account = replace(account, begun=max(account.begun - 1, 0), trying=False)
        self._write(release_id, account)

    def give_up(self, release_id: str, reason: str) -> None:
        """Notes that a release which loaded must not be tried again.

        Raises:
            OSError: The disk is full or the folder is not writable.
        """
        self._write(release_id, replace(self.account(release_id), reason=reason, unfit=True))

    def exhausted(self, release_id: str) -> bool:
        """Tells whether it had its attempts since it last loaded, if it ever did, or is unfit.

        The last of them must be over: it may still succeed.
        """
        account = self.account(release_id)
        return account.unfit or (account.begun >= MAX_ATTEMPTS and not account.trying)

    def account(self, release_id: str) -> Account:
        """Returns what is known of the release; an empty account if nothing is."""
        return self._read()[0].get(release_id, Account())

    def fallback(self, besides: str) -> str | None:
        """Returns the newest release that loaded once and may be tried, other than `besides`."""
        accounts, good = self._read()
        for release_id in reversed(good):
            account = accounts.get(release_id, Account())
            if release_id != besides and not account.unfit and account.begun < MAX_ATTEMPTS:
                return release_id
        return None

    def _read(self) -> tuple[dict[str, Account], list[str]]:
        # A file that is missing or damaged counts nothing: three more attempts are harmless.
        try:
            content: Json = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}, []
        fields = content if isinstance(content, dict) else {}
        releases, good = fields.get("releases"), fields.get("good")
        entries = releases.items() if isinstance(releases, dict) else ()
        accounts = {name: _account(entry) for name, entry in entries}
        return accounts, [str(name) for name in good] if isinstance(good, list) else []

    def _write(self, release_id: str, account: Account) -> None:
        accounts, good = self._read()
        accounts[release_id] = account
        if account.loaded and account.begun == 0 and not account.unfit:
            good = [*(name for name in good if name != release_id), release_id][-_KEPT_GOOD:]
        releases = {name: asdict(entry) for name, entry in accounts.items()}
        content = json.dumps({"releases": releases, "good": good}, indent=1)
        write_atomic(self._path, content.encode())


def _account(entry: Json) -> Account:
    match entry:
        case {"begun": int(begun), "loaded": bool(loaded), "reason": str(reason), **more}:
            unfit, trying = (more.get(name) is True for name in ("unfit", "trying"))
            return Account(begun, loaded, reason, unfit, trying)
        case _:
            return Account()
