"""Whether an exported graph answers what the weights answer: a spot check before it may serve."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from agent.errors import Refused
from agent.learning.tasks import Rows
from agent.wire.documents import FeatureSpec

_TOLERANCE = 1e-3  # of an answer, or of 1 where it is smaller; float32 differs by some 1e-6
Floats = npt.NDArray[np.float32]


def run_graph(path: Path, spec: FeatureSpec, rows: Rows) -> Floats:
    """Runs an exported graph.

    Args:
        path: What `export_onnx` wrote.
        spec: Of the features.
        rows: n rows; few, for their counts are made dense.

    Returns:
        Its predictions, float32 (n, tasks).

    Raises:
        Refused: `unloadable_model`.
    """
    counts = np.zeros((len(rows), spec.hash_size), np.float32)
    counts[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.indices] = rows.values
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (said,) = session.run(["predictions"], {"counts": counts, "descriptors": rows.dense})
    # onnxruntime's errors share no base below Exception.
    except Exception as error:
        raise Refused("unloadable_model", "onnxruntime cannot load what was exported.") from error
    answers: Floats = said
    return answers


def check_parity(said: Floats, expected: Floats) -> None:
    """Checks a graph's answers against those of the weights it was built from.

    Args:
        said: float32 (n, tasks), by the graph.
        expected: float32 (n, tasks), by the weights.

    Raises:
        Refused: `bad_answers`: they differ, or are no finite numbers.
    """
    off = np.abs(said - expected) / np.maximum(np.abs(expected), 1.0)
    if not bool((off <= _TOLERANCE).all()):  # a NaN is not within anything
        raise Refused(
            "bad_answers",
            "The model that was built here answers otherwise than its weights, or with no finite "
            "number; it is not used.",
        )
