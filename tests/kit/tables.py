"""Files of compounds for the page's table, and answers to them that a test can reckon by itself."""

import csv
import io
import json
import math
import zlib
from collections.abc import Sequence

from playwright.sync_api import Route

from agent.records import Json

HEADER = ("Compound", "SMILES", "Series", "Note")
SERIES = ("pyrimidine", "indole", "amide, secondary")
BAD = "C1CC("
# A few endpoints of the small release: ten thousand rows of all of them take the stand-in too long.
TASKS = ("solubility", "hlm_clint", "herg_ic50", "logd")


def smiles(number: int) -> str:
    """Returns one of 10,000 different structures."""
    return f"{'C' * (1 + number % 25)}N({'C' * (1 + number // 25 % 20)}){'C' * (1 + number // 500)}"


def rows(count: int, bad: Sequence[int] = ()) -> list[list[str]]:
    """Returns a table of compounds as a chemist would have it: commas and quotes within cells."""
    return [
        [
            f"HB-{number:05}",
            BAD if number in bad else smiles(number),
            SERIES[number % len(SERIES)],
            'he said "again"' if number % 9 == 0 else "",
        ]
        for number in range(count)
    ]


def as_csv(table: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """Writes a table as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([header, *table])
    return text.getvalue()


def read_csv(content: bytes) -> list[dict[str, str]]:
    """Reads what the page wrote."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def value(task: str, structure: str) -> float:
    """Returns what the stand-in predicts: lively, and the same each time."""
    share = zlib.crc32(f"{task} {structure}".encode()) / 2**32
    return round(8 * share - 1 if task == "logd" else 10 ** (4 * share - 1), 4)


def is_inside(structure: str) -> bool:
    """Tells what the stand-in says of the domain."""
    return zlib.crc32(structure.encode()) % 3 > 0


def answer(route: Route) -> None:
    """Stands in for `/v1/predict`."""
    asked = json.loads(route.request.post_data or "")["structures"]
    results = [_result(one["smiles"]) for one in asked]
    route.fulfill(json={"release": "release-7", "version": 7, "results": results})


def _result(structure: str) -> dict[str, Json]:
    if structure == BAD:
        return {"smiles": structure, "error": {"step": "parse", "cause": "a ring stays open"}}
    return {"smiles": structure, "predictions": {task: _said(task, structure) for task in TASKS}}


def _said(task: str, structure: str) -> dict[str, Json]:
    found = value(task, structure)
    ends = [found - 1, found + 1] if task == "logd" else [found / 2, found * 2]
    return {
        "value": found,
        "model_value": math.log10(found) if found > 0 else found,
        "unit": "",
        "interval": [round(end, 4) for end in ends],
        "inside": is_inside(structure),
        "similarity": 0.5,
        "spread": 0.1,
        "outside_by": [],
    }
