"""The Open Inference Protocol's tensors, read and written: SMILES in, columns of numbers out.

A request and an answer are JSON, behind which tensors may follow as bytes (the protocol's "binary
tensor data extension"). https://github.com/open-inference/open-inference-protocol,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.records import InvalidStructure
from agent.releases.card import ModelCard
from agent.serving.answers import Answer
from agent.serving.bodies import MAX_STRUCTURES
from agent.serving.problems import Problem

INPUT, ERROR = "SMILES", "error"
_LENGTH = struct.Struct("<I")
_NAN = float("nan")

Datatype = Literal["FP64", "BOOL", "BYTES"]
Name = Annotated[str, Field(max_length=200)]
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Parameter = bool | Whole | Real | Annotated[str, Field(max_length=1000)]
Parameters = Annotated[dict[Name, Parameter], Field(max_length=100)]

_STRICT = ConfigDict(strict=True)


class Wanted(NamedTuple):
    """One output that is asked for, and whether it shall follow the JSON as bytes."""

    name: str
    binary: bool


class TensorIn(BaseModel):
    """An input: its elements here, or behind the JSON with `binary_data_size` in its parameters."""

    model_config = _STRICT

    name: Literal["SMILES"]
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=2)]
    datatype: Literal["BYTES"]
    parameters: Parameters = {}
    data: Annotated[list[str | list[str]], Field(fail_fast=True)] | None = None


class OutputWanted(BaseModel):
    """An output to give; `binary_data` in its parameters says how."""

    model_config = _STRICT

    name: Name
    parameters: Parameters = {}


class InferRequest(BaseModel):
    """What `/v2/models/onggi/infer` takes, as JSON."""

    model_config = _STRICT

    id: Name | None = None
    parameters: Parameters = {}
    inputs: Annotated[list[TensorIn], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[OutputWanted], Field(max_length=10_000)] | None = None


class Tensor(BaseModel):
    """An input or an output that a release has; -1 stands for any number."""

    name: str
    datatype: Datatype
    shape: list[int]


class Metadata(BaseModel):
    """A release, as the protocol describes a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Data(BaseModel):
    """An output, or its size where it follows the JSON as bytes."""

    name: str
    datatype: Datatype
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float | bool | str | None] | None = None


class InferResponse(BaseModel):
    """What it gives; a number of a structure that was not read is null, as bytes NaN."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, bool | int | float | str]
    outputs: list[Data]


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, without the structures.

    Attributes:
        id: The caller's, or None.
        parameters: The caller's, but for those that this program takes.
        shape: Of the input, and so of each output.
        outputs: In this order; None asks for all of them.
        binary: Whether outputs that nothing is said of follow as bytes.
    """

    id: str | None
    parameters: Mapping[str, bool | int | float | str]
    shape: Sequence[int]
    outputs: Sequence[Wanted] | None
    binary: bool

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Reads what `asdict` made of one, out of JSON."""
        outputs = said["outputs"] and [Wanted(*output) for output in said["outputs"]]
        return cls(**{**said, "outputs": outputs})

    def wanted(self, card: ModelCard) -> list[Wanted]:
        """Returns the outputs that this release is to give.

        Raises:
            Problem: 422 `unknown_endpoint`.
        """
        known = outputs_of(card)
        if self.outputs is None:
            return [Wanted(name, self.binary) for name in known]
        if any(output.name not in known for output in self.outputs):
            sentence = "The release has no such output; /v2/models/onggi lists them."
            raise Problem(422, "unknown_endpoint", sentence)
        return list(self.outputs)


class Column(NamedTuple):
    """One output: which figure of which endpoint, or the error where there is no endpoint."""

    datatype: Datatype
    figure: Literal["value", "lower", "upper", "inside", "error"]
    task: str = ""


def outputs_of(card: ModelCard) -> dict[str, Column]:
    """Returns a release's outputs by name, in order: four columns an endpoint and the error."""
    found: dict[str, Column] = {}
    for task in (task.task for task in card.tasks):
        found[task] = Column("FP64", "value", task)
        found[f"{task}.lower"] = Column("FP64", "lower", task)
        found[f"{task}.upper"] = Column("FP64", "upper", task)
        found[f"{task}.inside"] = Column("BOOL", "inside", task)
    return {**found, ERROR: Column("BYTES", "error")}


def read(content: bytes, head_bytes: int | None) -> tuple[Question, list[str]]:
    """Reads a request.

    Args:
        content: Its body.
        head_bytes: How much of it is JSON, as the header `Inference-Header-Content-Length` says;
            None where all of it is.

    Returns:
        What is asked, and the SMILES. A text that is no UTF-8 has U+FFFD in its place, so that it
        is refused in its place.

    Raises:
        Problem: 422 `malformed` or `not_offered`, or 413 `too_many_structures`.
    """
    head, rest = content[:head_bytes], content[len(content) if head_bytes is None else head_bytes :]
    try:
        asked = InferRequest.model_validate_json(head)
    except ValidationError as error:
        raise _malformed(_place(error)) from None
    (tensor,) = asked.inputs
    _check_shape(tensor)
    _check_offered(asked)
    smiles = _smiles(tensor, rest)
    count = tensor.shape[0] * (tensor.shape[1] if len(tensor.shape) > 1 else 1)
    if len(smiles) != count:
        raise _malformed(f"the shape has {count} elements and the data {len(smiles)}")
    return _question(asked, tensor.shape), smiles


def _question(asked: InferRequest, shape: Sequence[int]) -> Question:
    own = dict(asked.parameters)
    binary = own.pop("binary_data_output", False) is True
    outputs = [
        Wanted(output.name, output.parameters.get("binary_data", binary) is True)
        for output in asked.outputs or ()
    ]
    return Question(asked.id, own, shape, outputs or None, binary)


def _check_shape(tensor: TensorIn) -> None:
    if tensor.shape[1:] not in ([], [1]):
        raise _malformed("the input's shape is [n] or [n, 1]")
    if tensor.shape[0] > MAX_STRUCTURES:
        limit = f"{tensor.shape[0]} structures are too many; send {MAX_STRUCTURES} at once at most."
        raise Problem(413, "too_many_structures", limit)


def _check_offered(asked: InferRequest) -> None:
    names = [output.name for output in asked.outputs or ()]
    if len(set(names)) < len(names):
        raise _malformed("an output is asked for twice")
    given = [asked.inputs[0].parameters, *(output.parameters for output in asked.outputs or ())]
    for word in ("shared_memory_region", "classification"):
        if any(word in parameters for parameters in given):
            sentence = f"{word} is not offered here; send and take the tensors with the request."
            raise Problem(422, "not_offered", sentence)


def _smiles(tensor: TensorIn, rest: bytes) -> list[str]:
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if rest or tensor.data is None:
            raise _malformed("give the input's data, or its binary_data_size")
        return list(_flat(tensor.data))
    if isinstance(size, bool) or size != len(rest) or tensor.data is not None:
        raise _malformed("binary_data_size is not that of what follows the JSON")
    return list(_texts(rest))


def _flat(data: Iterable[str | list[str]]) -> Iterator[str]:
    for entry in data:
        if isinstance(entry, str):
            yield entry
        else:
            yield from entry


def _texts(content: bytes) -> Iterator[str]:
    """Yields texts that each follow their length of four bytes."""
    place = 0
    while place < len(content):
        start = place + _LENGTH.size
        if start > len(content):
            raise _malformed("the input's last length is cut short")
        place = start + _LENGTH.unpack_from(content, place)[0]
        if place > len(content):
            raise _malformed("the input's last text is cut short")
        yield content[start:place].decode(errors="replace")


def _malformed(what: str) -> Problem:
    return Problem(422, "malformed", f"The request is malformed: {what}. See /openapi.json.")


def _place(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    # A key of `parameters` is the caller's own text: not repeated.
    where = ".".join(str(part) for part in fault["loc"][:3]) or "its top"
    return f"at {where}, {fault['msg']}" if "parameters" not in where else "in its parameters"


def columns(card: ModelCard, answers: Sequence[Answer], wanted: Sequence[Wanted]) -> list[bytes]:
    """Writes the outputs of one piece, each as bytes or as the inside of a JSON list."""
    known = outputs_of(card)
    return [
        _bytes(known[name], answers) if binary else _json(known[name], answers)
        for name, binary in wanted
    ]


def _json(column: Column, answers: Sequence[Answer]) -> bytes:
    values = [_figure(column, answer) for answer in answers]
    return json.dumps(values, allow_nan=False)[1:-1].encode()


def _bytes(column: Column, answers: Sequence[Answer]) -> bytes:
    values = [_figure(column, answer) for answer in answers]
    if column.datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    if column.datatype == "BOOL":
        return bytes(map(bool, values))
    numbers = [_NAN if value is None else value for value in values]
    return struct.pack(f"<{len(numbers)}d", *numbers)


def _figure(column: Column, answer: Answer) -> float | bool | str | None:
    _, figure, task = column
    if isinstance(answer, InvalidStructure):
        error = f"{answer.step}: {answer.cause}"
        return error if figure == "error" else False if figure == "inside" else None
    if figure == "error":
        return ""
    estimate = answer[task]
    if figure == "inside":
        return bool(estimate.inside)
    if figure == "value":
        return estimate.value
    return estimate.interval and estimate.interval[figure == "upper"]


def render(
    card: ModelCard, question: Question, wanted: Sequence[Wanted], pieces: Sequence[Sequence[bytes]]
) -> tuple[bytes, int | None]:
    """Writes the whole answer.

    Args:
        card: Of the release that answered.
        question: What was asked.
        wanted: The outputs.
        pieces: Each piece's `columns`.

    Returns:
        The body, and how much of it is JSON; None where all of it is.
    """
    known = outputs_of(card)
    tensors, behind = [], []
    for column, (name, binary) in enumerate(wanted):
        parts = [piece[column] for piece in pieces]
        tensor: dict[str, object] = {"name": name, "datatype": known[name].datatype}
        tensor["shape"] = list(question.shape)
        if binary:
            behind += parts
            tensor["parameters"] = {"binary_data_size": sum(map(len, parts))}
            tensors.append(json.dumps(tensor).encode())
        else:
            said = json.dumps(tensor).encode()
            tensors.append(said[:-1] + b', "data": [' + b", ".join(parts) + b"]}")
    head = json.dumps(_head(card, question)).encode()
    body = head[:-1] + b', "outputs": [' + b", ".join(tensors) + b"]}"
    return b"".join([body, *behind]), len(body) if behind else None


def _head(card: ModelCard, question: Question) -> dict[str, object]:
    named = {} if question.id is None else {"id": question.id}
    return {
        "model_name": "onggi",
        "model_version": str(card.version),
        **named,
        "parameters": {**question.parameters, "release": card.release_id},
    }
