"""Files of settings: TOML to frozen sections; unknown keys refused, every fault at once."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from agent.errors import Stop


def _folder(value: object) -> object:
    return Path(value) if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path, because services start in /")
    return path


def _folder_or_none(value: object) -> object:
    return None if value == "" else _folder(value)


def _absolute_or_none(path: Path | None) -> Path | None:
    return None if path is None else _absolute(path)


AbsolutePath = Annotated[Path, BeforeValidator(_folder), AfterValidator(_absolute)]
PathOrNone = Annotated[
    Path | None, BeforeValidator(_folder_or_none), AfterValidator(_absolute_or_none)
]


class Section(BaseModel):
    """A frozen part of the configuration that forbids unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Read = TypeVar("Read", bound=Section)


def parse_toml(
    model: type[Read],
    content: bytes,
    path: Path,
    template: str,
    also: Callable[[dict[str, object]], list[str]] = lambda _: [],
) -> Read:
    """Reads a file of settings.

    Args:
        model: The sections that it may have.
        content: Its bytes.
        path: For the sentences.
        template: Where every key is explained, for the sentences.
        also: Further faults of the raw tables, so that one elsewhere does not hide them.

    Raises:
        Stop: It is no TOML, or it has faults: all of them, each with its path.
    """
    try:
        raw = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits, 5,000 open brackets
        raise Stop(f"{path} is not valid TOML: {error}.") from error
    faults = also(raw)
    try:
        # TOML has arrays, strict models have tuples.
        found = model.model_validate(_tupled(raw))
    except ValidationError as error:
        faults = [
            _sentence(fault["loc"], fault["msg"], template) for fault in error.errors()
        ] + faults
    else:
        if not faults:
            return found
    raise Stop(f"{path} has {len(faults)} fault(s):\n" + "\n".join(faults))


def _tupled(value: object) -> object:
    if isinstance(value, dict):
        return {key: _tupled(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tupled(item) for item in value)
    return value


def _sentence(location: tuple[int | str, ...], message: str, template: str) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    text = message.removeprefix("Value error, ").replace(
        "Extra inputs are not permitted", f"unknown key; see {template}"
    )
    return f"  {where.lstrip('.') or '(top)'}: {text}"
