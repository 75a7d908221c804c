"""Whether a release is the model that was meant: its golden molecules, on this host's own graph."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from agent.boxes import read_object
from agent.features.fast import Featurizer
from agent.features.reference import smiles_sha256
from agent.features.rows import Features
from agent.keeper.orders import ReleaseOrder
from agent.keeper.work.problem import task_spec
from agent.learning.ensemble import Ensemble, predict_ensemble
from agent.learning.export import export_onnx
from agent.learning.parity import check_parity, run_graph
from agent.learning.tasks import TaskSpec
from agent.releases.golden import check_answers, check_rows, read_golden
from agent.wire.documents import Endpoint
from agent.wire.update import Weights

_SPOT = 16  # rows of the snapshot on which the graph that will serve is compared


def check_golden(
    order: ReleaseOrder, released: Weights, endpoints: Mapping[str, Endpoint], folder: Path
) -> None:
    """Builds the federated graph, alone, and asks it for the golden molecules.

    A release without golden molecules passes: its plan's features may allow none.

    Args:
        order: With the manifest and where its golden molecules are.
        released: The checked weights.
        endpoints: By task; all heads of the manifest are among them.
        folder: For the graph.

    Raises:
        Refused: `wrong_golden`; `wrong_object` as `boxes.read_object`; as `export_onnx` and
            `run_graph`.
    """
    manifest, spec = order.manifest, order.plan.features
    if manifest.golden_sha256 is None:
        return
    content = read_object(Path(order.golden), manifest.golden_sha256, manifest.golden_bytes)
    golden = read_golden(content, manifest.heads, spec)
    check_rows(golden, smiles_sha256(spec, golden.smiles))
    tasks = [task_spec(head, endpoints[head]) for head in golden.heads]
    path = folder / "golden.onnx"
    export_onnx(Ensemble.of_one(released, order.plan.network, len(tasks)), spec, tasks, path)
    features, _ = Featurizer(spec).featurize_smiles(golden.smiles)
    spread = np.array([task.spread for task in tasks], np.float32)
    check_answers(golden, run_graph(path, spec, features), spread)
    path.unlink()


def check_served(
    path: Path, ensemble: Ensemble, order: ReleaseOrder, features: Features, tasks: list[TaskSpec]
) -> None:
    """Compares the graph that will serve with its weights on a few of this silo's compounds.

    Raises:
        Refused: `unloadable_model` or `bad_answers`.
    """
    spot = np.unique(np.linspace(0, len(features) - 1, _SPOT).astype(np.int64))
    rows = features.take(spot)
    expected = predict_ensemble(ensemble, rows, tasks, order.settings.device).mean
    check_parity(run_graph(path, order.plan.features, rows), expected)
