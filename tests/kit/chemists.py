"""A small release that answers like a silo's own, and what stands in for routes beside it.

Its networks are untrained: the values are plausible in size and mean nothing.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from agent.features.fast import Featurizer
from agent.features.spec import default_spec
from agent.learning.certainty import Certainty, write_certainty
from agent.learning.domain import Domain, TaskDomain
from agent.learning.ensemble import Ensemble, Member
from agent.learning.export import export_onnx
from agent.learning.intervals import LEVELS, Calibration, TaskCalibration
from agent.learning.similarity import Index
from agent.learning.tasks import Labels, TaskSpec
from agent.releases import folder
from agent.releases.card import (
    Confidence,
    CurveBin,
    Level,
    ModelCard,
    TaskCard,
    Transform,
    Way,
    Window,
    write_card,
)
from agent.serving.native import to_native
from agent.wire.documents import NetworkSpec
from agent.wire.network import initial_weights

MOMENT = "2026-11-20T03:04:05Z"
COMPOUNDS = (
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "CC(C)NCC(O)COc1ccc(CC(N)=O)cc1",
    "COCCc1ccc(OCC(O)CNC(C)C)cc1",
    "CN1CCC[C@H]1c1cccnc1",
    "CN(C)CCCN1c2ccccc2CCc2ccccc21",
    "CN(C)CCCN1c2ccccc2Sc2ccc(Cl)cc21",
    "CN(C)CCOC(c1ccccc1)c1ccccc1",
    "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "COc1ccc2cc(ccc2c1)[C@H](C)C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "Cc1ncc2CN=C(c3ccccc3F)c3cc(Cl)ccc3-n12",
    "CN1c2ccc(Cl)cc2C(c2ccccc2)=NC(O)C1=O",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CCOc1ccc(cc1-c1nc2c(CCC)nn(C)c2c(=O)[nH]1)S(=O)(=O)N1CCN(C)CC1",
    "OC(c1ccccc1)(c1ccccc1)C1CCN(CCCC(=O)c2ccc(cc2)C(C)(C)C)CC1",
    "Fc1ccc(cc1)C(=O)CCCN1CCC(O)(CC1)c1ccc(Cl)cc1",
    "CNC[C@H](Oc1ccccc1)c1ccccc1",
    "CN[C@H]1CC[C@@H](c2ccc(Cl)c(Cl)c2)c2ccccc12",
    "COc1ccc2[nH]c(nc2c1)S(=O)Cc1ncc(C)c(OC)c1C",
    "Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F",
    "OC(Cn1cncn1)(Cn1cncn1)c1ccc(F)cc1F",
    "NC(=O)c1cn(nn1)Cc1c(F)cccc1F",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(n1)-c1cccnc1",
    "C#Cc1cccc(Nc2ncnc3cc(OCCOC)c(OCCOC)cc23)c1",
    "COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1",
    "CCN(CC)CCNC(=O)c1ccc(N)cc1",
    "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "O=C1NC(=O)C(N1)(c1ccccc1)c1ccccc1",
)


@dataclass(frozen=True)
class _Head:
    task: str
    name: str
    unit: str
    transform: Transform
    centre: float
    spread: float
    kind: Literal["regression", "classification"] = "regression"
    n: int = 400


_REGRESSIONS = (
    _Head("solubility", "Aqueous solubility, neutral", "uM", "neg_log10_molar", 4.3, 0.8, n=2140),
    _Head("caco2_papp", "Caco-2 apparent permeability", "10^-6 cm/s", "log10", 0.9, 0.5, n=860),
    _Head("caco2_efflux_ratio", "Efflux ratio in Caco-2", "ratio", "log10", 0.4, 0.4, n=790),
    _Head("pk_bioavailability_rat", "Oral bioavailability, rat", "%", "identity", 45, 18, n=120),
    _Head("ppb_human", "Plasma protein binding, human, bound", "%", "identity", 88, 8, n=640),
    _Head("pk_vss_rat", "Volume of distribution, rat", "L/kg", "log10", 0.2, 0.35, n=180),
    _Head("hlm_clint", "Clearance in microsomes", "uL/min/mg", "log10_plus_1", 1.4, 0.5, n=3020),
    _Head("mlm_clint", "Clearance in microsomes", "uL/min/mg", "log10_plus_1", 1.7, 0.5, n=1480),
    _Head("cyp3a4_ic50", "Inhibition of CYP3A4, IC50", "uM", "neg_log10_molar", 4.9, 0.6, n=910),
    _Head("cyp2d6_ic50", "Inhibition of CYP2D6, IC50", "uM", "neg_log10_molar", 4.7, 0.6, n=905),
    _Head("pk_cl_iv_rat", "Plasma clearance, rat", "mL/min/kg", "log10", 1.4, 0.35, n=185),
    _Head("pk_t_half_iv_rat", "Half-life, intravenous, rat", "h", "log10", 0.3, 0.3, n=185),
    _Head("herg_ic50", "Inhibition of the hERG channel", "uM", "neg_log10_molar", 5.0, 0.7, n=1220),
    _Head("logd", "Distribution coefficient at pH 7.4", "", "identity", 2.3, 1.1, n=2650),
    _Head("private:pxr", "PXR activation, EC50", "uM", "neg_log10_molar", 5.3, 0.5, n=260),
)
_CLASSES = tuple(
    _Head(task, name, "", "identity", 0, 1, "classification", n)
    for task, name, n in (
        ("bbb_class", "Crosses the blood-brain barrier", 980),
        ("pgp_substrate", "Substrate of P-glycoprotein", 410),
        ("ames", "Mutagenic in the Ames test", 1530),
        ("dili", "Causes drug-induced liver injury", 330),
    )
)
HEADS = _REGRESSIONS + _CLASSES
_LEVELS = ((0.25, 0.03), (0.5, -0.02), (0.75, 0.01), (0.9, -0.01), (0.95, 0.0))
_CURVE = ((0.1, 0.3, 0.8), (0.3, 0.5, 0.55), (0.5, 0.9, 0.35))
_NEAR, _APART = 0.4, 0.7  # of a head's spread: how much the members may differ


def build(releases: Path, release_id: str = "release-7", version: int = 7) -> ModelCard:
    """Installs and activates the release; its folder must not exist."""
    network = NetworkSpec(hidden=(256, 128), dropout=0.0, seed=version)
    spec, heads = default_spec(), HEADS
    staged = releases.parent / f"staged-{release_id}"
    staged.mkdir(parents=True)
    specs = [TaskSpec(one.task, one.kind, one.centre, one.spread, one.unit) for one in heads]
    names = [one.task for one in heads]
    members = tuple(
        Member(
            network,
            initial_weights(network.model_copy(update={"seed": version + number}), spec, names),
        )
        for number in range(3)
    )
    shares = np.full((len(members), len(heads)), 1 / len(members), np.float32)
    export_onnx(Ensemble(members, shares), spec, specs, staged / folder.MODEL)
    write_certainty(staged / folder.CALIBRATION, _certainty(heads))
    _known(names).save(staged / folder.NEIGHBOURS)
    card = ModelCard(
        release_id=release_id,
        version=version,
        created=MOMENT,
        plan_id="p1",
        tasks=tuple(_card(one) for one in heads),
        features=spec,
        network=network,
        gated=MOMENT,
        reference_sha256="0" * 64,
        layout=2,
        window=Window(first="2025-05-01", last="2026-11-01", compounds=3400, labels=15_000),
    )
    write_card(staged, card)
    for name in (folder.WEIGHTS, folder.MANIFEST):
        (staged / name).write_bytes(b"-")
    releases.mkdir(exist_ok=True)
    folder.install(staged, releases, release_id)
    folder.activate(releases, release_id)
    return card


def _certainty(heads: tuple[_Head, ...]) -> Certainty:
    reach = tuple(1.2 * level for level in LEVELS)
    calibration = tuple(
        TaskCalibration(
            task=one.task,
            n=one.n,
            pooled=False,
            constant=0.5 * one.spread,
            by_spread=0.5,
            by_distance=0.6 * one.spread,
            reach=() if one.kind == "classification" else reach,
        )
        for one in heads
    )
    domain = tuple(
        TaskDomain(
            task=one.task, similarity=_NEAR, spread=_APART * one.spread, pooled=False, curve=()
        )
        for one in heads
    )
    return Certainty(calibration=Calibration(tasks=calibration), domain=Domain(tasks=domain))


def _known(names: list[str]) -> Index:
    features, _ = Featurizer(default_spec()).featurize_smiles(COMPOUNDS)
    cells = [
        (row, column)
        for row in range(len(COMPOUNDS))
        for column in range(len(names))
        if (row + column) % 3
    ]
    rows, columns = (np.array(values, np.int64) for values in zip(*cells, strict=True))
    zeros = np.zeros(len(cells), np.float32)
    labels = Labels(rows, columns, zeros, np.zeros(len(cells), np.int8))
    return Index.build(features, labels, names)


def error_of(task: str, spread: float) -> float:
    """Returns what the card says of a head; alone it is half of the spread."""
    return (0.36 + 0.17 * (zlib.crc32(task.encode()) % 100) / 100) * spread


def _card(one: _Head) -> TaskCard:
    confidence = Confidence(
        n=one.n // 5,
        pooled=False,
        width=2 * one.spread,
        levels=tuple(Level(predicted=at, observed=min(1.0, at + off)) for at, off in _LEVELS),
        similarity=_NEAR,
        spread=_APART * one.spread,
        curve=tuple(
            CurveBin(
                low=low,
                high=high,
                n=40,
                error=size * one.spread,
                width=2 * one.spread,
                coverage=0.9,
            )
            for low, high, size in _CURVE
        ),
    )
    ways = (Way(name="federated", share=0.5), Way(name="personal", share=0.5))
    error = error_of(one.task, one.spread)
    return TaskCard(
        task=one.task,
        name=one.name,
        kind=one.kind,
        unit=one.unit,
        transform=one.transform,
        n_train=one.n,
        n_test=one.n // 5,
        metric="MAE" if one.kind == "regression" else "1-AUROC",
        error_local=0.5 * one.spread,
        error_release=error,
        private=one.task.startswith("private:"),
        release_interval=(0.88 * error, 1.12 * error),
        ways=ways,
        confidence=confidence,
    )


def percentiles(release: str = "release-7", version: int = 7) -> dict[str, object]:
    """Answers `GET /v1/percentiles`."""
    return {
        "release": release,
        "version": version,
        "sets": [
            {"name": "approved_drugs", "n": 2310, "endpoints": _quantiles(0.0, 1.0)},
            {"name": "own_compounds", "n": 3400, "endpoints": _quantiles(0.3, 0.8)},
        ],
    }


def _quantiles(shift: float, width: float) -> dict[str, list[float]]:
    shares = np.linspace(0.01, 0.99, 101)
    normal = np.log(shares / (1 - shares)) / 1.7 * width + shift
    found = {}
    for one in HEADS:
        if one.kind == "classification":
            values = list(1 / (1 + np.exp(-2 * normal)))
        else:
            values = [to_native(one.centre + one.spread * x, one.transform) for x in normal]
        if one.unit == "%":
            values = [min(value, 100.0) for value in values]
        found[one.task] = sorted(float(value) for value in values)
    return found


def neighbours(release: str = "release-7", version: int = 7) -> dict[str, object]:
    """Answers `POST /v1/neighbours`, whatever was asked."""
    chosen = [(0, 1.0), (2, 0.58), (1, 0.55), (18, 0.34)]
    return {
        "release": release,
        "version": version,
        "smiles": COMPOUNDS[0],
        "neighbours": [
            {"smiles": COMPOUNDS[which], "similarity": near, "measured": _measured(number)}
            for number, (which, near) in enumerate(chosen)
        ],
    }


def _measured(number: int) -> dict[str, dict[str, object]]:
    def said(value: float, unit: str, qualifier: str = "=") -> dict[str, object]:
        return {"value": value, "unit": unit, "qualifier": qualifier, "n": 1 + number % 3}

    every = {
        "solubility": said(182.0 / (number + 1), "uM", ">" if number == 0 else "="),
        "hlm_clint": said(14.2 + 9 * number, "uL/min/mg"),
        "logd": said(1.2 + 0.4 * number, ""),
        "herg_ic50": said(12.5 / (number + 1), "uM"),
        "caco2_papp": said(21.0 - number, "10^-6 cm/s"),
    }
    return dict(list(every.items())[: 5 - number])


def measured(answer: dict[str, object]) -> dict[str, object]:
    """Puts what a silo has measured of the first compound into an answer of `/v1/predict`."""
    results = answer["results"]
    assert isinstance(results, list)
    for result in results:
        for task, said in _measured(0).items():
            if task in ("hlm_clint", "solubility") and result.get("smiles") == COMPOUNDS[0]:
                result["predictions"][task]["measured"] = said
    return answer
