"""The worker: the chemistry and the models, in a process that may die without anybody waiting.

It answers one message after the other over a socket that its parent holds the other end of, and
ends when that end closes. It keeps nothing but loaded releases: whatever it was asked can be asked
of another one.
"""

import contextlib
import ctypes
import json
import logging
import os
import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from agent import log
from agent.errors import Refused
from agent.records import InvalidStructure
from agent.releases.folder import path_of
from agent.serving import bodies, frames, tensors
from agent.serving.answers import FAILED_STEP
from agent.serving.batch import measured
from agent.serving.batch.figures import Figures, packed
from agent.serving.batch.pieces import read_piece
from agent.serving.bodies import Asked
from agent.serving.collection import Collection
from agent.serving.frames import Frame, Head
from agent.serving.guard import Guard
from agent.serving.predictor import Given, Predictor, Watch
from agent.serving.problems import Problem
from agent.serving.rehearsal import warm
from agent.serving.shown import Shown
from agent.serving.survey import approved_drugs, percentiles
from agent.serving.surveyed import OWN_COMPOUNDS
from agent.serving.tensors import Wanted

_LOGGER = logging.getLogger(__name__)
_NICE = 10  # a single molecule comes first
_KEPT = 2  # releases: the one that answers and the one before it, for calls that began with it
_MOST_MEMORY = 4 << 30  # bytes; a structure that wants more ends its worker, not the host
_NO_MEMORY = 137  # as a shell says it of what the kernel ends for want of memory
_GONE = {
    "late": InvalidStructure("time", "Reading it takes too long; give a smaller structure."),
    "crash": InvalidStructure("crash", "It ends the process that reads it; write it otherwise."),
}
_FAILED = frozenset({FAILED_STEP, "crash"})  # steps that may be the release's fault
_Does = Callable[[Head, bytes], Frame]
T = TypeVar("T")


def work(releases: Path, channel: socket.socket, place: int, deadline_s: float, nice: bool) -> None:
    """Answers until the other end closes.

    Args:
        releases: The folder of all releases.
        channel: Connected to the process that answers HTTP.
        place: A file that says which structure is being read.
        deadline_s: Processor seconds that one structure may take.
        nice: Whether this worker steps back behind those that answer single molecules.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    desk = Desk(releases, Guard(place, deadline_s).over)
    with channel, channel.makefile("rb") as incoming, contextlib.suppress(ConnectionError):
        while (message := frames.read(incoming)) is not None:
            channel.sendall(frames.pack(*desk.reply(*message)))
            if nice:  # not before: until the first release is loaded, all wait for this worker
                os.nice(_NICE)
                nice = False


def _give_memory_back() -> None:
    """Returns what loading needed for a while: 90 of 230 MB at 50,000 compounds."""
    with contextlib.suppress(AttributeError):  # it is glibc's own
        ctypes.CDLL(None).malloc_trim(0)


class Desk:
    """What a worker does with a message.

    Args:
        releases: The folder of all releases.
        watch: As of `Predictor.predict`.
    """

    def __init__(self, releases: Path, watch: Watch) -> None:
        self._releases = releases
        self._watch = watch
        self._loaded: dict[str, Predictor] = {}
        self._does: dict[str, _Does] = {
            "load": self._load,
            "rehearse": self._rehearse,
            "predict": self._predict,
            "figures": self._figures,
            "explain": self._explain,
            "split": self._split,
            "neighbours": self._neighbours,
            "survey": self._survey,
            "read_tensors": self._read_tensors,
            "tensors": self._tensors,
        }
        self._collection = Collection(Shown.beside(releases).reference, watch)

    def reply(self, head: Head, body: bytes) -> Frame:
        """Answers one message; whatever goes wrong is an answer, too."""
        try:
            return self._does[head["do"]](head, body)
        except Refused as refused:
            return {"refused": [refused.code, refused.reason]}, b""
        except Problem as problem:
            return {"problem": [problem.status, problem.code, problem.detail]}, b""
        except MemoryError:
            # Nobody knows what it left half done. The parent asks again, without the structure that
            # wants so much, and reads which one that is: so nothing may be tidied up first.
            os._exit(_NO_MEMORY)
        # The boundary: the next message must not suffer from this one.
        except Exception as error:
            _LOGGER.warning("worker_raised", exc_info=True)
            return {"raised": type(error).__name__}, b""

    def _load(self, head: Head, _body: bytes) -> Frame:
        self._predictor(head["release"])
        return {}, b""

    def _rehearse(self, head: Head, _body: bytes) -> Frame:
        # Unwatched: what a first run makes ready may take longer than a structure is given.
        warm(self._predictor(head["release"]))
        return {}, b""

    def _split(self, _head: Head, body: bytes) -> Frame:
        pieces = bodies.chunks(bodies.parse(body))
        return {"lengths": [len(piece) for piece in pieces]}, b"".join(pieces)

    def _read_tensors(self, head: Head, body: bytes) -> Frame:
        question, smiles = tensors.read(body, head["head_bytes"])
        pieces = bodies.chunks([Asked(text, "smiles") for text in smiles])
        said = {"question": asdict(question), "lengths": [len(piece) for piece in pieces]}
        return said, b"".join(pieces)

    def _tensors(self, head: Head, body: bytes) -> Frame:
        predictor = self._predictor(head["release"])
        answers = self._answers(predictor.predict, bodies.read_chunk(body), _gone(head))
        wanted = [Wanted(*output) for output in head["wanted"]]
        columns = tensors.columns(predictor.card, answers, wanted)
        lengths = [len(column) for column in columns]
        return {**_counts(answers), "lengths": lengths}, b"".join(columns)

    def _predict(self, head: Head, body: bytes) -> Frame:
        asked = bodies.read_chunk(body)
        answers = self._answers(self._predictor(head["release"]).write, asked, _gone(head))
        answers = self._collection.with_measured(head.get("reference", ""), asked, answers)
        return _counts(answers), bodies.render_results(asked, answers)

    def _figures(self, head: Head, body: bytes) -> Frame:
        """Answers a piece of a file: the figures of each structure, or its fault."""
        given, predictor = read_piece(body), self._predictor(head["release"])
        gone = _gone(head)
        faults: list[InvalidStructure | None] = []
        parts: list[Figures] = []
        for stop in [*sorted(gone), len(given)]:
            start = len(faults)
            found, said = predictor.figures(given[start:stop], self._watch, start)
            faults += found
            parts.append(said)
            if stop in gone:
                faults.append(_GONE[gone[stop]])
        said_of, content = packed(faults, parts, sum(_failed(fault) for fault in faults))
        fine = [at for at, fault in enumerate(faults) if fault is None]
        known = self._collection.measured(head.get("reference", ""), given, fine)
        if known is not None:
            said_of[measured.KEY] = measured.findings(known, predictor.card.tasks)
        return said_of, content

    def _explain(self, head: Head, body: bytes) -> Frame:
        (asked,) = bodies.read_chunk(body)
        predictor = self._predictor(head["release"])
        gone = [_GONE[how] for _, how in head.get("gone", ())]
        given = (asked.structure, asked.fmt)
        answer = gone[0] if gone else predictor.explain(given, head["endpoint"], self._watch)
        if isinstance(answer, InvalidStructure):
            code = "no_answer" if _failed(answer) else "bad_structure"
            raise Problem(422, code, f"{answer.step}: {answer.cause}")
        return {}, bodies.render_explanation(predictor.card, asked.id, answer)

    def _neighbours(self, head: Head, body: bytes) -> Frame:
        (asked,) = bodies.read_chunk(body)
        gone = [_GONE[how] for _, how in head.get("gone", ())]
        name, endpoint, most = head["reference"], head["endpoint"], head["most"]
        found = gone[0] if gone else self._collection.neighbours(name, asked, endpoint, most)
        if isinstance(found, InvalidStructure):
            raise Problem(422, "bad_structure", f"{found.step}: {found.cause}")
        return {}, json.dumps(asdict(found), ensure_ascii=False).encode()

    def _survey(self, head: Head, _body: bytes) -> Frame:
        own = head["of"] == OWN_COMPOUNDS
        smiles = self._collection.newest(head["reference"]) if own else approved_drugs()
        asked = [Asked(text, "smiles") for text in smiles]
        answers = self._answers(self._predictor(head["release"]).predict, asked, _gone(head))
        return {}, json.dumps(percentiles(answers)).encode()

    def _answers(
        self,
        ask: Callable[[list[Given], Watch, int], Sequence[T | InvalidStructure]],
        asked: list[Asked],
        gone: dict[int, str],
    ) -> list[T | InvalidStructure]:
        # Runs between those that ended a worker before, so that the numbers stay the caller's.
        answers: list[T | InvalidStructure] = []
        for stop in [*sorted(gone), len(asked)]:
            start = len(answers)
            batch: list[Given] = [(one.structure, one.fmt) for one in asked[start:stop]]
            answers += ask(batch, self._watch, start)
            if stop in gone:
                answers.append(_GONE[gone[stop]])
        return answers

    def _predictor(self, release: str) -> Predictor:
        predictor = self._loaded.pop(release, None)
        if predictor is None:
            predictor = Predictor.load(path_of(self._releases, release), threads=1)
            _give_memory_back()
            log.event(_LOGGER, "worker_loaded", release=release)
        self._loaded[release] = predictor  # the newest last
        while len(self._loaded) > _KEPT:
            del self._loaded[next(iter(self._loaded))]
        return predictor


def _gone(head: Head) -> dict[int, str]:
    return {int(number): str(how) for number, how in head.get("gone", ())}


def _counts(answers: Sequence[object]) -> dict[str, int]:
    good = sum(not isinstance(answer, InvalidStructure) for answer in answers)
    failed = sum(_failed(answer) for answer in answers)
    return {"good": good, "bad": len(answers) - good, "failed": failed}


def _failed(answer: object) -> bool:
    return isinstance(answer, InvalidStructure) and answer.step in _FAILED
