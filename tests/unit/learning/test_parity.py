from pathlib import Path

import numpy as np
import pytest

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.learning.parity import check_parity, run_graph
from tests.kit.consortium import FEATURES

ONE = np.ones((2, 2), np.float32)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    rows, _ = Featurizer(FEATURES).featurize_smiles(["CCO"])
    with pytest.raises(Refused, match="unloadable_model"):
        run_graph(path, FEATURES, rows)


@pytest.mark.parametrize("off", [0.0, 9e-4, -9e-4])
def test_what_differs_by_rounding_passes(off: float) -> None:
    check_parity(ONE + np.float32(off), ONE)
    check_parity(1000 * (ONE + np.float32(off)), 1000 * ONE)


@pytest.mark.parametrize("off", [2e-3, -2e-3, np.nan, np.inf])
def test_what_differs_or_is_no_number_is_refused(off: float) -> None:
    with pytest.raises(Refused, match="bad_answers"):
        check_parity(ONE + np.float32(off), ONE)


def test_two_nans_are_no_agreement() -> None:
    with pytest.raises(Refused, match="bad_answers"):
        check_parity(ONE * np.nan, ONE * np.nan)
