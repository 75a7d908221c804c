"""Which compound a structure is, asked for many at a time and worked out once only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from agent.assays.identity_cache import IdentityCache
from agent.assays.identity_pool import Found, Pool, Wanted

_REMEMBERED = 20_000  # structures kept in memory besides the file


class Identifier:
    """Looks structures up, works out those that are new on several cores, and keeps them.

    Use it as a context manager: its processes end with it.

    Args:
        path: The cache's file, or `None` for none.
        processes: How many processes may work; 1 means this one alone.
    """

    def __init__(self, path: Path | None = None, processes: int = 1) -> None:
        self._cache = None if path is None else IdentityCache(path)
        self._pool = Pool(processes)
        self._recent: dict[Wanted, Found] = {}
        self._begun: set[Wanted] = set()  # asked for, and not answered yet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def identify_all(self, wanted: Sequence[Wanted]) -> list[Found]:
        """Returns what each structure is, in the given order.

        Args:
            wanted: Structures with their formats; repeated ones cost nothing.
        """
        return self.begin(wanted)()

    def begin(self, wanted: Sequence[Wanted]) -> Callable[[], list[Found]]:
        """Lets the processes begin with the new ones, so that more rows can be read meanwhile.

        Args:
            wanted: Structures with their formats; repeated ones cost nothing.

        Returns:
            What waits for the answers and returns what `identify_all` does. Several may be begun
            before the first is asked for; each must be called once, in order.
        """
        distinct = dict.fromkeys(wanted)
        found = {one: self._recent[one] for one in distinct if one in self._recent}
        asked = [one for one in distinct if one not in found]
        if self._cache is not None and asked:
            found |= self._cache.get(asked)
        missing = [one for one in asked if one not in found and one not in self._begun]
        self._begun.update(missing)
        answers = self._pool.begin(missing)

        def finish() -> list[Found]:
            if missing:
                self._keep(found, missing, answers())
            # Those that an earlier question asked for, and that were forgotten since.
            late = [one for one in asked if one not in found and one not in self._recent]
            if late:
                self._keep(found, late, self._pool.begin(late)())
            known = self._recent
            complete = [found[one] if one in found else known[one] for one in wanted]
            self._remember({one: found[one] for one in asked if one in found})
            return complete

        return finish

    def _keep(self, found: dict[Wanted, Found], asked: list[Wanted], what: list[Found]) -> None:
        fresh = dict(zip(asked, what, strict=True))
        self._begun.difference_update(asked)
        found |= fresh
        if self._cache is not None:
            self._cache.put(fresh)

    def _remember(self, found: dict[Wanted, Found]) -> None:
        if len(self._recent) + len(found) > _REMEMBERED:
            self._recent.clear()
        self._recent |= found
