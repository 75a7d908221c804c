"""One HTML page that needs nothing else: no script, no request, one hashed style."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files

from agent.page.markup import Html, tag


def page(title: str, sections: Iterable[str]) -> bytes:
    """Returns a whole page, in UTF-8.

    Args:
        title: Data.
        sections: Elements, or data to escape, one below the other.
    """
    style = (files("agent.page") / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # The browser itself then refuses whatever is not this very style.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Html(style)),
    )
    body = tag("body", tag("main", *sections))
    html = "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"
    return html.encode(errors="backslashreplace")


def table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Html:
    """Draws a table that scrolls where the page is narrow.

    Args:
        heads: Class and name of each column; class `n` is for numbers.
        rows: Elements, or data to escape.
    """
    head = tag("tr", *[tag("th", name, class_=kind) for kind, name in heads])
    body = [
        tag(
            "tr",
            *[tag("td", cell, class_=kind) for (kind, _), cell in zip(heads, row, strict=True)],
        )
        for row in rows
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll")
