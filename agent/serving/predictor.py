"""One release, loaded: structures in, an answer for each in its place.

The graph always runs on blocks of the same number of rows, so that a structure's numbers do not
depend on what else was asked: a matrix product may choose another kernel for another shape.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from rdkit import Chem

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.light import light_mol
from agent.features.rows import Features
from agent.records import InvalidStructure, Structure
from agent.releases.card import ModelCard, TaskCard, read_card
from agent.releases.folder import MODEL
from agent.serving.answers import FAILED_STEP, Answer, Estimate, Explanation
from agent.serving.batch.figures import APART, FAR, Figures, nothing
from agent.serving.certainty import NOTHING_KNOWN, Doubt, Judge
from agent.serving.drawing import highlighted
from agent.serving.native import natives, rounded, to_native
from agent.serving.sparse import SUMS, FirstLayer, take_apart
from agent.serving.written import Writer

MAX_BATCH = 1024  # molecules featurized at once; bounds the memory of one call
_BLOCK = 4  # rows of a run: larger ones gain 7 us a row and cost a single molecule as much again
_DESCRIPTORS = "descriptors"
_OUTPUT = "predictions"
_SPREAD = "spread"  # a graph of an earlier version has none
_ORT_ERRORS_ONLY = 3

Floats = npt.NDArray[np.float32]
T = TypeVar("T")

Given = tuple[str, Structure]
Watch = Callable[[Iterable[Given], int], Iterable[Given]]


def _unwatched(structures: Iterable[Given], _start: int) -> Iterable[Given]:
    return structures


class Predictor:
    """A release that can answer; safe to call from several threads."""

    def __init__(
        self,
        card: ModelCard,
        first: FirstLayer,
        session: ort.InferenceSession,
        judge: Judge | None = None,
    ) -> None:
        """Binds a graph and its first layer to their card.

        Raises:
            Refused: `wrong_graph`: it is not the graph that the card describes; or as
                `Featurizer`.
        """
        self.card = card
        self._first = first
        self._session = session
        self._judge = judge
        self._featurizer = Featurizer(card.features)
        self._writer = Writer(card.tasks)
        _check_graph(first, session, card)
        self._outputs = [output.name for output in session.get_outputs()]

    @classmethod
    def load(cls, folder: Path, threads: int) -> "Predictor":
        """Loads the release in the folder.

        Args:
            folder: A release's folder, which has its card and its graph.
            threads: How many threads one run of the graph may use.

        Raises:
            Refused: `unloadable_model`, `wrong_graph`, `wrong_card`, or a code of `read_card` or
                `Judge.load`.
        """
        card = read_card(folder)
        if card.release_id != folder.name:
            raise Refused("wrong_card", "The card in the folder is that of another release.")
        first, rest = take_apart(folder / MODEL)
        return cls(card, first, _session(rest, threads), Judge.load(folder, card))

    def predict(
        self, structures: Sequence[Given], watch: Watch = _unwatched, start: int = 0
    ) -> list[Answer]:
        """Predicts every endpoint of every structure.

        Args:
            structures: Texts and how to read each.
            watch: Is given the structures and the first one's number, and yields each before it is
                read; all of its chemistry is done before it is asked for the next.
            start: The first structure's number.

        Returns:
            One answer a structure, in order; a structure that cannot be used keeps its place and
            its reason.
        """
        return self._in_batches(structures, watch, start, self._answers)

    def write(
        self, structures: Sequence[Given], watch: Watch = _unwatched, start: int = 0
    ) -> list[str | InvalidStructure]:
        """Predicts as `predict` does, and writes each answer as JSON without its outer braces."""
        return self._in_batches(structures, watch, start, self._texts)

    def _in_batches(
        self,
        structures: Sequence[Given],
        watch: Watch,
        start: int,
        answer: Callable[[Features], Sequence[T | InvalidStructure]],
    ) -> list[T | InvalidStructure]:
        answers: list[T | InvalidStructure] = []
        for first in range(0, len(structures), MAX_BATCH):
            batch = watch(structures[first : first + MAX_BATCH], start + first)
            invalid: list[InvalidStructure | None] = []
            features = self._featurizer.featurize(_readable(batch, invalid))
            good = iter(answer(features) if len(features) else ())
            answers.extend(next(good) if reason is None else reason for reason in invalid)
        return answers

    def figures(
        self, structures: Sequence[Given], watch: Watch = _unwatched, start: int = 0
    ) -> tuple[list[InvalidStructure | None], Figures]:
        """Predicts as `predict` does, for tables: arrays instead of an object a value.

        Args:
            structures: Texts and how to read each, `MAX_BATCH` at most.
            watch: As of `predict`.
            start: The first structure's number.

        Returns:
            For each structure why it has no figures, or None; and the figures of those that have.
        """
        faults: list[InvalidStructure | None] = []
        features = self._featurizer.featurize(_readable(watch(structures, start), faults))
        if not len(features):
            return faults, nothing(len(self.card.tasks))
        said = self._figures(features)
        wrong: npt.NDArray[np.bool_] = ~np.isfinite(
            natives(said.mean, [task.transform for task in self.card.tasks])
        )
        if not wrong.any():
            return faults, said
        readable = [at for at, fault in enumerate(faults) if fault is None]
        for row in np.flatnonzero(wrong.any(axis=1)):
            task = self.card.tasks[int(wrong[row].argmax())]
            faults[readable[row]] = _no_number(task)
        return faults, said.take(np.flatnonzero(~wrong.any(axis=1)))

    def _figures(self, features: Features) -> Figures:
        mean, spread = self._run(features)
        if self._judge:
            found = self._judge.judged(features, mean, spread)
            outside = FAR * found.far.astype(np.uint8) + APART * found.apart.astype(np.uint8)
            return Figures(mean, spread, found.low, found.high, found.similarity, outside)
        unknown = np.full_like(mean, np.nan)
        return Figures(mean, unknown, unknown, unknown, unknown, np.zeros(mean.shape, np.uint8))

    def explain(
        self, given: Given, endpoint: str | None, watch: Watch = _unwatched
    ) -> Explanation | InvalidStructure:
        """Tells what each atom contributes to what is predicted.

        Args:
            given: One structure.
            endpoint: Which endpoint to draw and to speak of alone; None speaks of all and draws
                none.
            watch: As of `predict`.

        Raises:
            Refused: `unknown_endpoint`.
        """
        tasks = [task.task for task in self.card.tasks]
        if endpoint is not None and endpoint not in tasks:
            raise Refused("unknown_endpoint", "The release has no such endpoint; see /v1/model.")
        (answer,) = (self._explained(one, endpoint, tasks) for one in watch([given], 0))
        return answer

    def _explained(
        self, given: Given, endpoint: str | None, tasks: Sequence[str]
    ) -> Explanation | InvalidStructure:
        mol = light_mol(*given)
        if isinstance(mol, InvalidStructure):
            return mol
        mean, _ = self._run(self._featurizer.without_each_atom(mol))
        falls = (mean[0] - mean[1:]).astype(np.float64)
        if not np.isfinite(falls).all():
            return InvalidStructure(FAILED_STEP, "A prediction came out as no finite number.")
        columns = range(len(tasks)) if endpoint is None else [tasks.index(endpoint)]
        smiles, order = _in_order(mol)
        said = {tasks[j]: [rounded(falls[atom, j]) for atom in order] for j in columns}
        drawn = "" if endpoint is None else highlighted(mol, falls[:, columns[0]].tolist())
        return Explanation(smiles, said, drawn)

    def _answers(self, features: Features) -> list[Answer]:
        mean, spread = self._run(features)
        doubts = (
            self._judge.doubts(features, mean, spread)
            if self._judge
            else [[NOTHING_KNOWN] * len(self.card.tasks)] * len(features)
        )
        return [
            _answer(row, known, self.card.tasks)
            for row, known in zip(mean.tolist(), doubts, strict=True)
        ]

    def _texts(self, features: Features) -> list[str | InvalidStructure]:
        mean, spread = self._run(features)
        judged = self._judge.judged(features, mean, spread) if self._judge else None
        return self._writer.texts(mean, judged)

    def _run(self, features: Features) -> tuple[Floats, Floats]:
        """Returns the mean and the spread between members, float32 (n, tasks) each."""
        inputs = self._first.sums(features), features.dense
        blocks = [
            self._session.run(self._outputs, {SUMS: sums, _DESCRIPTORS: dense})
            for sums, dense in zip(*map(_blocks, inputs), strict=True)
        ]
        mean = self._joined(blocks, _OUTPUT, len(features))
        if _SPREAD not in self._outputs:  # one member has nobody to differ from
            return mean, np.zeros_like(mean)
        return mean, self._joined(blocks, _SPREAD, len(features))

    def _joined(self, blocks: Sequence[Sequence[Floats]], name: str, rows: int) -> Floats:
        place = self._outputs.index(name)
        return np.concatenate([block[place] for block in blocks])[:rows]


def _readable(
    structures: Iterable[Given], invalid: list[InvalidStructure | None]
) -> Iterator[Chem.Mol]:
    """Yields the molecules; says of each structure, in order, why it is none."""
    for text, fmt in structures:
        mol = light_mol(text, fmt)
        if isinstance(mol, InvalidStructure):
            invalid.append(mol)
        else:
            invalid.append(None)
            yield mol


def _in_order(mol: Chem.Mol) -> tuple[str, list[int]]:
    """Returns the molecule as SMILES, and its atoms in the order in which they stand there."""
    smiles = Chem.MolToSmiles(mol)
    order: list[int] = list(mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    return smiles, order


def _blocks(rows: Floats) -> Iterator[Floats]:
    # The last block is filled up with its last row, again and again.
    missing = -len(rows) % _BLOCK
    filled = np.concatenate([rows, *[rows[-1:]] * missing]) if missing else rows
    return (filled[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def _answer(row: list[float], doubts: list[Doubt], tasks: Sequence[TaskCard]) -> Answer:
    answer: dict[str, Estimate] = {}
    for task, model_value, doubt in zip(tasks, row, doubts, strict=True):
        value = to_native(model_value, task.transform)
        if not (math.isfinite(value) and math.isfinite(model_value)):
            return _no_number(task)
        answer[task.task] = Estimate(
            rounded(value),
            rounded(model_value),
            task.unit,
            doubt.interval,
            doubt.inside,
            doubt.similarity,
            doubt.spread,
            doubt.outside_by,
        )
    return answer


def _no_number(task: TaskCard) -> InvalidStructure:
    return InvalidStructure(FAILED_STEP, f"{task.task} came out as no finite number.")


def _session(graph: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ORT_ERRORS_ONLY
    # The arena and a spinning pool would hold memory and a core between requests.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    # onnxruntime's errors share no base below Exception.
    except Exception as error:
        raise Refused("unloadable_model", "onnxruntime cannot load the graph.") from error


def _check_graph(first: FirstLayer, session: ort.InferenceSession, card: ModelCard) -> None:
    inputs = {entry.name: entry.shape[-1] for entry in session.get_inputs()}
    outputs = {entry.name: entry.shape[-1] for entry in session.get_outputs()}
    wanted = {SUMS: first.weights.shape[1], _DESCRIPTORS: len(card.features.descriptors)}
    said: dict[str, str] = session.get_modelmeta().custom_metadata_map
    fits = {
        "inputs": inputs == wanted and len(first.weights) == card.features.hash_size,
        "outputs": outputs.pop(_SPREAD, len(card.tasks)) == len(card.tasks)
        and outputs == {_OUTPUT: len(card.tasks)},
        "tasks": _columns(said) == [(task.task, task.kind) for task in card.tasks],
        "features": said.get("onggi.features") == card.features.to_bytes().decode(),
    }
    if wrong := [part for part, fine in fits.items() if not fine]:
        raise Refused("wrong_graph", f"The graph's {wrong[0]} do not fit the card; build it again.")


def _columns(said: dict[str, str]) -> list[tuple[str, str]]:
    try:
        return [(str(c["name"]), str(c["kind"])) for c in json.loads(said["onggi.tasks"])]
    except (KeyError, TypeError, ValueError):
        return []
