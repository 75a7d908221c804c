"""Predictions in a notebook: structures in, a data frame out.

from onggi.client import Client

onggi = Client("http://127.0.0.1:8600")
frame = onggi.predict(["CCO", "c1ccccc1O"])          # a column an endpoint
frame = onggi.predict(table["SMILES"])               # keeps the index of a Series
table = table.join(onggi.predict(table))             # a DataFrame: its column of SMILES
onggi.batch("library.sdf", "library.csv")            # up to a million structures
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import requests

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 1_000  # structures of one request; `batch` takes more than many of them
_SMILES = ("smiles", "canonical_smiles", "structure")
_ENDED = frozenset({"done", "failed", "cancelled"})
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_TIMEOUT_S = (10.0, 300.0)  # until it answers, between two pieces of an answer
_COPIED_BYTES = 1 << 20

Progress = Callable[[int, int | None], None]


class OnggiRefused(Exception):
    """The endpoint said no.

    Attributes:
        status: The HTTP status; 0 where a job failed later.
        code: A stable word, such as `too_many_structures`.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} [{code}]")
        self.status, self.code, self.detail = status, code, detail


class OnggiAway(Exception):
    """Nothing answers at the address, or it broke off; ask again later."""


class Client:
    """Asks one endpoint; it uses no proxy.

    Args:
        url: Where it listens, such as `http://127.0.0.1:8600`.
        token: What `onggi token add` printed; None where access is open.
        ca: A file of certificates (PEM) to trust for https; the system's by default.
    """

    def __init__(self, url: str, token: str | None = None, ca: str | Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # an endpoint in the house: never through a proxy
        self._session.verify = str(ca) if ca else True
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> "Client":
        """Returns itself; its connections close with the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes its connections."""
        self._session.close()

    def predict(
        self, structures: "str | Iterable[str] | pd.Series | pd.DataFrame", column: str = ""
    ) -> "pd.DataFrame":
        """Predicts every endpoint.

        Args:
            structures: SMILES; of a data frame, its column of them.
            column: That column's name; found by itself where it is called smiles.

        Returns:
            A row a structure, in order, with the index of what was given; for each endpoint the
            columns ENDPOINT, ENDPOINT_lower, ENDPOINT_upper and ENDPOINT_inside, ENDPOINT_measured
            where the site measured some of them itself (a text, as `>100`), and `error`.

        Raises:
            OnggiRefused: The endpoint said no.
            OnggiAway: Nothing answers.
        """
        import pandas as pd

        series = _series(structures, column)
        results: list[dict[str, Any]] = []
        for start in range(0, len(series), AT_ONCE):
            asked = series.iloc[start : start + AT_ONCE].fillna("").astype(str).tolist()
            results += self.post("/v1/predict", {"smiles": asked})["results"]
        return pd.DataFrame([_row(result) for result in results], index=series.index)

    def explain(self, smiles: str, endpoint: str | None = None) -> dict[str, Any]:
        """Tells what each atom contributes; with an endpoint, with a drawing (`svg`)."""
        named = {} if endpoint is None else {"endpoint": endpoint}
        return self.post("/v1/explain", {"smiles": smiles, **named})

    def neighbours(
        self, smiles: str, endpoint: str | None = None, most: int = 10
    ) -> dict[str, Any]:
        """Returns the most similar measured compounds; needs a token with the scope `data`."""
        named = {} if endpoint is None else {"endpoint": endpoint}
        return self.post("/v1/neighbours", {"smiles": smiles, "most": most, **named})

    def model(self) -> dict[str, Any]:
        """Returns the card of the release that answers."""
        return self.get("/v1/model")

    def batch(
        self,
        path: str | Path,
        to: str | Path,
        *,
        structure: str = "",
        endpoints: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Path:
        """Predicts a file: CSV, SDF, SMI or XLSX in; CSV, SDF, Parquet or NDJSON out.

        Args:
            path: What to predict.
            to: What to write; its ending says what.
            structure: The column of the structures; found by itself by default.
            endpoints: These alone; all by default.
            progress: Is told how many rows of how many are done; None before they are counted.

        Returns:
            The path that was written.

        Raises:
            OnggiRefused: The endpoint said no, or the job failed.
            OnggiAway: Nothing answers.
            OSError: A file cannot be read or written.
        """
        target = Path(to)
        with Path(path).open("rb") as given:
            job = self.send(given, Path(path).suffix, structure)
        job = self.wait(job, progress)
        with target.open("wb") as out:
            self.fetch(job, target.suffix.lstrip(".").lower() or "csv", out, endpoints)
        return target

    def send(self, given: BinaryIO, suffix: str = "", structure: str = "") -> dict[str, Any]:
        """Sends a file and returns the job that works on it."""
        kind = {".tsv": "csv", ".txt": "", ".sd": "sdf"}.get(suffix.lower(), suffix.lower()[1:])
        named = {"format": kind, "structure": structure}
        params = {name: value for name, value in named.items() if value}
        return self._asked("POST", "/v1/batch", params=params, data=given).json()  # type: ignore[no-any-return]

    def wait(self, job: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        """Waits until a job is done; whoever interrupts it cancels the job."""
        pause_s = _PAUSE_S
        try:
            while job["state"] not in _ENDED:
                time.sleep(pause_s)
                pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)
                job = self.get(job["links"]["self"])
                if progress is not None:
                    progress(job["done"], job["total"])
        except KeyboardInterrupt:
            self._asked("DELETE", job["links"]["cancel"])
            raise
        if job["state"] != "done":
            problem = job.get("problem") or {"code": job["state"], "detail": "The job was ended."}
            raise OnggiRefused(0, problem["code"], problem["detail"])
        return job

    def fetch(
        self, job: dict[str, Any], kind: str, out: BinaryIO, endpoints: Iterable[str] = ()
    ) -> None:
        """Writes the answer of a job that is done."""
        params: dict[str, Any] = {"format": kind, "endpoint": list(endpoints)}
        answer = self._asked("GET", job["links"]["result"], params=params, stream=True)
        try:
            for piece in answer.iter_content(_COPIED_BYTES):
                out.write(piece)
        except requests.RequestException as error:
            raise OnggiAway("The answer broke off; fetch it again.") from error

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Asks any route that takes JSON."""
        found: dict[str, Any] = self._asked("POST", path, json=body).json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        """Asks any route that gives JSON."""
        found: dict[str, Any] = self._asked("GET", path).json()
        return found

    def _asked(self, method: str, path: str, **more: Any) -> requests.Response:  # noqa: ANN401
        url = self._url + path
        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT_S, **more)
        except requests.RequestException as error:
            raise OnggiAway(f"Nothing answers at {self._url}.") from error
        if answer.ok:
            return answer
        try:
            problem = answer.json()
            code, detail = str(problem["code"]), str(problem["detail"])
        except (ValueError, TypeError, KeyError):
            code, detail = "not_an_endpoint", f"What answers at {self._url} is no Onggi endpoint."
        raise OnggiRefused(answer.status_code, code, detail)


def _series(structures: Any, column: str) -> "pd.Series":  # noqa: ANN401 - whatever a caller has
    import pandas as pd

    if isinstance(structures, pd.DataFrame):
        names = {str(name).casefold(): name for name in structures.columns}
        found = next((names[usual] for usual in _SMILES if usual in names), None)
        if not column and found is None:
            raise ValueError("no column of the data frame is called smiles; name one by `column`")
        return structures[column or found]
    if isinstance(structures, pd.Series):
        return structures
    return pd.Series([structures] if isinstance(structures, str) else list(structures), dtype=str)


def _row(result: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for endpoint, said in (result.get("predictions") or {}).items():
        low, high = said.get("interval") or (None, None)
        row |= {
            endpoint: said["value"],
            f"{endpoint}_lower": low,
            f"{endpoint}_upper": high,
            f"{endpoint}_inside": said.get("inside"),
        }
        if measured := said.get("measured"):
            qualifier = measured["qualifier"].replace("=", "")
            row[f"{endpoint}_measured"] = f"{qualifier}{measured['value']:g}"
    fault = result.get("error")
    return {**row, "error": f"{fault['step']}: {fault['cause']}" if fault else None}
