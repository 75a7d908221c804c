"""Files for `/v1/batch`, and a caller who sends them."""

import csv
import io
import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import xlsxwriter

ENDED = {"done", "failed", "cancelled"}
Answer = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """Asks one predict about its jobs."""

    port: int
    headers: Mapping[str, str]

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body or None, {**self.headers, **headers})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def send(self, content: bytes, query: str = "") -> dict[str, Any]:
        status, answer = self.ask("POST", f"/v1/batch?{query}", content)
        assert status == 202, answer
        job: dict[str, Any] = json.loads(answer)
        return job

    def look(self, name: str) -> dict[str, Any]:
        status, answer = self.ask("GET", f"/v1/batch/{name}")
        assert status == 200, answer
        job: dict[str, Any] = json.loads(answer)
        return job

    def ended(self, name: str) -> dict[str, Any]:
        while (job := self.look(name))["state"] not in ENDED:
            time.sleep(0.05)
        return job

    def through(self, content: bytes, query: str = "", kind: str = "csv") -> bytes:
        """Sends a file, waits, and returns the answer."""
        job = self.ended(self.send(content, query)["job"])
        assert job["state"] == "done", job
        status, found = self.ask("GET", f"{job['links']['result']}?format={kind}")
        assert status == 200, found
        return found


def as_csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def read_csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def as_xlsx(path: Path, rows: Sequence[Sequence[object]]) -> bytes:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("compounds")
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write(at, column, cell)
    return path.read_bytes()


def zip_bomb(path: Path) -> bytes:
    """Returns a workbook of a few kilobytes that unpacks to more than any host wants to hold."""
    as_xlsx(path, [["smiles"], ["CCO"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet2.xml", b" " * (600 << 20))
    return path.read_bytes()
