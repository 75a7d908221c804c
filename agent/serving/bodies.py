"""What `/v1/predict` takes and gives, read and written by hand where the default is slow."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.records import InvalidStructure, Json, Structure
from agent.releases.card import ModelCard
from agent.serving.answers import Explanation, Limit, Qualifier
from agent.serving.problems import Problem
from agent.serving.schemas import either

if TYPE_CHECKING:  # the workers read bodies, too, and would load the framework for nothing
    from fastapi import Request

MAX_STRUCTURES = 10_000
MAX_BODY_BYTES = 32 << 20
MAX_EXPLAIN_BYTES = 1 << 20
CHUNK = 64  # structures that a worker answers in a row, some 50 ms; then another call gets a turn
_QUICK, _QUICK_SMILES, _QUICK_MOLBLOCK = 4, 400, 20_000  # structures, characters of each
_BETWEEN = b", "
_MAX_COMMAS = 1_000_000  # 32 MB of "1,1,1" would fill half a gigabyte before it is refused

PREDICT_EXAMPLES: dict[str, Json] = {
    "one": {"value": {"smiles": "CC(=O)Oc1ccccc1C(=O)O"}},
    "many": {"value": {"smiles": ["CCO", "c1ccccc1O"]}},
    "named": {"value": {"structures": [{"id": "A-1", "smiles": "CCO"}]}},
}
EXPLAIN_EXAMPLE: dict[str, Json] = {"id": "A-1", "smiles": "CC(=O)Oc1ccccc1C(=O)O"}

_STRICT = ConfigDict(extra="forbid", strict=True)


class StructureIn(BaseModel):
    """One structure; the id comes back beside its answer."""

    model_config = ConfigDict(**_STRICT, json_schema_extra=either("smiles", "molblock"))

    id: Annotated[str, Field(max_length=200)] | None = None
    smiles: str | None = None
    molblock: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.smiles is None) == (self.molblock is None):
            raise ValueError("give either smiles or molblock")
        return self


class PredictRequest(BaseModel):
    """One SMILES, a list of them, or a list of structures."""

    model_config = ConfigDict(**_STRICT, json_schema_extra=either("smiles", "structures"))

    smiles: str | Annotated[list[str], Field(fail_fast=True)] | None = None
    structures: Annotated[list[StructureIn], Field(fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.smiles is None) == (self.structures is None):
            raise ValueError("give either smiles or structures")
        return self


class MeasuredValue(BaseModel):
    """What this site measured: the median of `n` measurements, in `unit`; a limit with < or >."""

    value: float
    unit: str
    qualifier: Qualifier
    n: int


class Prediction(BaseModel):
    """One endpoint's prediction; `value` is in `unit`, or a probability for a class.

    `interval` holds the measured value nine times in ten; `inside` says whether the model knows
    compounds like this one, `similarity` how near the nearest is that was measured here, `spread`
    how far the members of the model differ (a standard deviation on the model's scale), and
    `outside_by` which of the two puts it outside. `measured` is there where this site has measured
    the compound and the caller may see data.
    """

    value: float
    model_value: float
    unit: str
    interval: tuple[float, float] | None = None
    inside: bool | None = None
    similarity: float | None = None
    spread: float | None = None
    outside_by: list[Limit] = []
    measured: MeasuredValue | None = None


class ExplainRequest(BaseModel):
    """One structure; with an endpoint, a drawing comes along."""

    model_config = ConfigDict(**_STRICT, json_schema_extra=either("smiles", "molblock"))

    id: Annotated[str, Field(max_length=200)] | None = None
    smiles: str | None = None
    molblock: str | None = None
    endpoint: Annotated[str, Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.smiles is None) == (self.molblock is None):
            raise ValueError("give either smiles or molblock")
        return self


class ExplainResponse(BaseModel):
    """What each atom contributes, in the order of the atoms in `smiles`.

    A contribution is how much the prediction falls, on the model's scale (a probability for a
    class), without the fingerprint's environments that the atom is a part of.
    """

    release: str
    version: int
    id: str | None = None
    smiles: str
    contributions: dict[str, list[float]]
    svg: str


class Fault(BaseModel):
    """Which step refused the structure, and why."""

    step: str
    cause: str


class Result(BaseModel):
    """One structure's answer: predictions by endpoint, or an error."""

    id: str | None = None
    smiles: str | None = None
    predictions: dict[str, Prediction] | None = None
    error: Fault | None = None


class PredictResponse(BaseModel):
    """Answers in the order of the structures, all of them by one release."""

    release: str
    version: int
    results: list[Result]


class Ready(BaseModel):
    """What `/readyz` says; `problem` while another release was wanted than the one that answers."""

    status: str
    release: str
    version: int
    problem: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One structure of a request, whichever way it was given."""

    structure: str
    fmt: Structure
    id: str | None = None


async def read_body(request: "Request", most: int | None = None) -> bytes:
    """Reads the body, and no more of it than is allowed.

    Args:
        request: Whose body.
        most: Bytes; as many as a large call may have by default.

    Raises:
        Problem: 413 `body_too_large`.
    """
    most = MAX_BODY_BYTES if most is None else most
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            limit = f"The body has over {most} bytes; send fewer structures at once."
            raise Problem(413, "body_too_large", limit)
    return bytes(content)


def parse(content: bytes) -> list[Asked]:
    """Reads a prediction request.

    Raises:
        Problem: 422 `malformed`, or 413 `too_many_structures`.
    """
    if content.count(b",") > _MAX_COMMAS:
        raise Problem(413, "too_many_structures", "The body has too many parts; send less at once.")
    try:
        body = PredictRequest.model_validate_json(content)
    except ValidationError as error:
        raise Problem(422, "malformed", sentence(error)) from None
    asked = _asked(body)
    if len(asked) > MAX_STRUCTURES:
        limit = f"{len(asked)} structures are too many; send {MAX_STRUCTURES} at once at most."
        raise Problem(413, "too_many_structures", limit)
    return asked


def _asked(body: PredictRequest) -> list[Asked]:
    if body.structures is not None:
        return [_one(entry) for entry in body.structures]
    smiles = [body.smiles] if isinstance(body.smiles, str) else body.smiles or []
    return [Asked(text, "smiles") for text in smiles]


def _one(entry: StructureIn) -> Asked:
    if entry.molblock is not None:
        return Asked(entry.molblock, "molblock", entry.id)
    return Asked(entry.smiles or "", "smiles", entry.id)


def sentence(error: ValidationError) -> str:
    """Says where a body is malformed, and quotes nothing of it."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "its top"
    # pydantic quotes nothing of a JSON text but the place where it breaks off.
    return f"The body is malformed at {where}: {fault['msg']}. See /openapi.json for its shape."


def parse_explain(content: bytes) -> tuple[Asked, str | None]:
    """Reads a request to explain: the structure, and the endpoint or None.

    Raises:
        Problem: 422 `malformed`.
    """
    try:
        body = ExplainRequest.model_validate_json(content)
    except ValidationError as error:
        raise Problem(422, "malformed", sentence(error)) from None
    asked = StructureIn(id=body.id, smiles=body.smiles, molblock=body.molblock)
    return _one(asked), body.endpoint


def render_explanation(card: ModelCard, own_id: str | None, answer: Explanation) -> bytes:
    """Writes an explanation as JSON."""
    document = {"release": card.release_id, "version": card.version}
    named = {} if own_id is None else {"id": own_id}
    return json.dumps({**document, **named, **asdict(answer)}, ensure_ascii=False).encode()


def chunks(asked: Sequence[Asked]) -> list[bytes]:
    """Cuts a call into pieces that workers answer one by one; others get their turn in between."""
    return [_packed(asked[start : start + CHUNK]) for start in range(0, len(asked), CHUNK)]


def _packed(asked: Sequence[Asked]) -> bytes:
    # Ready for a worker: the process that answers HTTP never looks into a large call.
    return json.dumps([[one.structure, one.fmt, one.id] for one in asked]).encode()


def read_chunk(chunk: bytes) -> list[Asked]:
    """Reads a piece that `chunks` made."""
    return [Asked(structure, fmt, own_id) for structure, fmt, own_id in json.loads(chunk)]


def is_quick(asked: Sequence[Asked]) -> bool:
    """Tells whether a call is so small that a person waits for it."""
    return len(asked) <= _QUICK and all(
        len(one.structure) <= (_QUICK_SMILES if one.fmt == "smiles" else _QUICK_MOLBLOCK)
        for one in asked
    )


def render_results(asked: Sequence[Asked], answers: Sequence[str | InvalidStructure]) -> bytes:
    """Writes the answers of one piece, to be joined by `render`; equal answers, equal bytes.

    Args:
        asked: The structures.
        answers: As of `Predictor.write`.
    """
    results = (_result(one, answer) for one, answer in zip(asked, answers, strict=True))
    return _BETWEEN.join([result.encode() for result in results])


def render(release: str, version: int, pieces: Sequence[bytes]) -> bytes:
    """Joins rendered pieces to the whole answer."""
    head = json.dumps({"release": release, "version": version}).encode()
    return head[:-1] + b', "results": [' + _BETWEEN.join(pieces) + b"]}"


def _result(one: Asked, answer: str | InvalidStructure) -> str:
    said: list[str] = [] if one.id is None else [f'"id": {_text(one.id)}']
    if one.fmt == "smiles":
        said.append(f'"smiles": {_text(one.structure)}')
    if isinstance(answer, InvalidStructure):
        said.append(f'"error": {{"step": {_text(answer.step)}, "cause": {_text(answer.cause)}}}')
    else:
        said.append(f'"predictions": {{{answer}}}')
    return "{" + ", ".join(said) + "}"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
