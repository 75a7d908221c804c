"""How predictions are spread over a set of compounds: the worker's part of `/v1/percentiles`."""

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from agent.records import InvalidStructure
from agent.serving.answers import Answer
from agent.serving.native import rounded

_STEPS = np.linspace(0.0, 1.0, 101)


@cache
def approved_drugs() -> list[str]:
    """Returns the structures of the drugs that come with the program: `data/README.md`."""
    text = (files("agent.serving") / "data" / "approved_drugs.csv").read_text(encoding="utf-8")
    return [row["smiles"] for row in csv.DictReader(text.splitlines())]


def percentiles(answers: Sequence[Answer]) -> dict[str, Any]:
    """Returns by endpoint the quantiles of the predicted values.

    Args:
        answers: Of the set; what could not be predicted is left out.

    Returns:
        `n`, how many counted, and `endpoints`: 101 values each, from 0 % to 100 %, in the
        endpoint's unit; nothing where no structure counted.
    """
    good = [answer for answer in answers if not isinstance(answer, InvalidStructure)]
    endpoints = {
        endpoint: [
            rounded(value)
            for value in np.quantile([answer[endpoint].value for answer in good], _STEPS).tolist()
        ]
        for endpoint in (good[0] if good else ())
    }
    return {"n": len(good), "endpoints": endpoints}
