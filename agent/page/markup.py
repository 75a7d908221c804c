"""HTML by elements: every text and attribute is escaped, unless an element of ours made it."""

from html import escape


class Html(str):
    """Markup that `tag` made; any other text is data."""

    __slots__ = ()


_VOID = frozenset({"meta", "br"})


def tag(name: str, /, *children: str, **attributes: str | float) -> Html:
    """Returns one element.

    Args:
        name: Ours, never data.
        *children: Elements, or data to escape.
        **attributes: Values are escaped; `class_` is written `class`, and `_` in names `-`.
    """
    words = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_written(value), quote=True)}"'
        for key, value in attributes.items()
    ]
    opened = f"<{name}{''.join(words)}>"
    return Html(opened if name in _VOID else f"{opened}{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Puts elements and data one behind the other; data is escaped."""
    return Html("".join(c if isinstance(c, Html) else escape(c, quote=True) for c in children))


def counted(count: int, noun: str) -> str:
    """Writes a count with its noun, e.g. `1 compound`, `1,200 compounds`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _written(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
