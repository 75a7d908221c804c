"""A suggestion written as a profile, with its doubts as comments."""

import json
import re
from collections.abc import Iterator

from agent.records import Json
from agent.stores.meaning import plain_number
from agent.stores.patterns import Pile
from agent.stores.suggest import Column, Suggestion

_ROLES = ("compound", "structure", "date", "measurement_id", "assay", "value", "unit", "qualifier")
_SLUG = re.compile(r"[^a-z0-9]+")
_MAX_COMMENT = 160


def to_toml(suggestion: Suggestion) -> str:
    """Writes the suggestion as a profile that no file is read with before it is reviewed."""
    return "\n".join(_lines(suggestion)) + "\n"


def to_json(suggestion: Suggestion) -> dict[str, Json]:
    """Returns the suggestion as JSON types: each column with its role, reasons and doubts."""
    columns: list[Json] = [_as_json(column) for column in suggestion.columns]
    assays: list[Json] = [
        {"assay": name, "endpoint": endpoint.id if endpoint else "", "confidence": round(score, 2)}
        for name, endpoint, score in suggestion.assays
    ]
    return {
        "kind": suggestion.kind,
        "sheet": suggestion.sheet,
        "shape": "long" if suggestion.long else "wide",
        "reviewed": False,
        "columns": columns,
        "assays": assays,
        "toml": to_toml(suggestion),
    }


def _as_json(column: Column) -> Json:
    return {
        "column": column.header,
        "role": column.role,
        "confidence": round(column.confidence, 2),
        "why": column.why,
        "look": column.pattern.look,
        "filled": column.pattern.filled,
        "unit": column.unit,
        "unit_known": column.unit_known,
        "endpoint": column.endpoint.id if column.endpoint else "",
        "unit_fits": column.fits_unit,
        "piles": [{"side": p.side, "value": p.value, "count": p.count} for p in column.piles],
    }


def _lines(suggestion: Suggestion) -> Iterator[str]:
    yield f"# Suggested from the file, for a store of kind {suggestion.kind!r}. Nothing is read"
    yield "# with it before a person has checked each column, unit and endpoint and sets it true:"
    yield "reviewed = false"
    yield "version = 1"
    yield f'structure_format = "{suggestion.structure_format}"'
    if suggestion.sheet:
        yield f"sheet = {_text(suggestion.sheet)}"
    yield from _dates(suggestion)
    yield ""
    yield "[columns]"
    by_role = {c.role: c for c in suggestion.columns if c.role and not _is_wide(c, suggestion)}
    for role in _ROLES:
        if role in by_role:
            yield f"{role} = {_text(by_role[role].header)}  # {_doubt(by_role[role])}"
    if suggestion.long:
        yield from _maps(suggestion)
    else:
        for column in suggestion.columns:
            if _is_wide(column, suggestion):
                yield from _assay(column)
    yield from _unused(suggestion)


def _is_wide(column: Column, suggestion: Suggestion) -> bool:
    return column.role == "numbers" and not suggestion.long


def _dates(suggestion: Suggestion) -> Iterator[str]:
    for column in suggestion.columns:
        if column.role == "date" and column.pattern.date_format == "?":
            yield "# Which comes first, day or month? Choose one:"
            yield '#date_format = "%d/%m/%Y"'
            yield '#date_format = "%m/%d/%Y"'
        elif column.role == "date" and column.pattern.date_format:
            yield f"date_format = {_text(column.pattern.date_format)}"


def _assay(column: Column) -> Iterator[str]:
    yield ""
    yield f"# {_doubt(column)}"
    yield "[[assay]]"
    yield f"column = {_text(column.header)}"
    if column.endpoint:
        yield f"endpoint = {_text(column.endpoint.id)}"
    else:
        yield "# Put an id of the catalogue here, or declare this private endpoint."
        yield f"endpoint = {_text('private:' + _slug(column.header))}"
    yield from _unit(column)
    if column.qualifier_column:
        yield f"qualifier_column = {_text(column.qualifier_column)}"
    for pile in column.piles:
        yield from _pile(pile)


def _pile(pile: Pile) -> Iterator[str]:
    if plain_number(pile.value) == 0:
        yield f"# {pile.count} values are 0; if that means below quantification, give its limit:"
        yield '#below = ["0"]'
        yield "#limit = "
    else:
        yield f"# {pile.count} values are exactly {pile.value}; if that is the assay's limit, say:"
        yield f"#{pile.side} = {plain_number(pile.value)!r}"


def _unit(column: Column) -> Iterator[str]:
    yield f"unit = {_text(column.unit)}"
    if column.pattern.look == "number" and not column.unit:
        wanted = column.endpoint.unit if column.endpoint else ""
        if wanted or column.endpoint is None:
            yield "# The header states no unit; fill it in" + (
                f" (the endpoint is in {_comment(wanted)})." if wanted else ", if there is one."
            )
    elif not column.unit_known:
        yield "# This unit is not known; write it as Onggi does, or declare a factor."
    elif column.endpoint and not column.fits_unit:
        target = _comment(column.endpoint.unit) or "a pure number"
        yield f"# It does not convert to {target}; declare"
        yield "# factor and factor_reason, or take a private endpoint."


def _maps(suggestion: Suggestion) -> Iterator[str]:
    for name, endpoint, score in suggestion.assays:
        yield ""
        yield "[[map]]"
        yield f"assay = {_text(name)}"
        if endpoint:
            yield f"endpoint = {_text(endpoint.id)}  # confidence {score:.2f}"
        else:
            yield "# Put an id of the catalogue here, or declare this private endpoint."
            yield f"endpoint = {_text('private:' + _slug(name))}  # confidence 0.00"


def _unused(suggestion: Suggestion) -> Iterator[str]:
    unused = [column for column in suggestion.columns if not column.role]
    if unused:
        yield ""
        yield "# Not used:"
    for column in unused:
        yield f"#   {_comment(column.header) or '(no header)'}: {_comment(column.why)}"


def _doubt(column: Column) -> str:
    return f"confidence {column.confidence:.2f} ({_comment(column.why)})"


def _slug(header: str) -> str:
    return _SLUG.sub("_", header.casefold()).strip("_")[:60].strip("_") or "unnamed"


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_COMMENT]


def _text(text: str) -> str:
    # A JSON string is a TOML string too, save for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
