"""What one gradient or one update tells of the compounds behind it: G1, G2, G3 and G4.

The first layer's gradient is Xᵀ D: X the batch's sparse counts, D what came back to each compound.
A column that no compound sets gets exactly nothing, and one that a single compound sets gets a row
that is this compound's D: the rows lie in a cone whose edges are the compounds.
"""

from collections.abc import Iterator

import numpy as np
from scipy.optimize import nnls

from agent.learning.metrics import auroc
from agent.wire.network import Weights
from benchmarks.attack_world import (
    COUNTS,
    Doubles,
    Ints,
    Scale,
    World,
    added,
    clipped,
    delta,
    error,
    masked,
    parted,
    private,
)

_CLIP = 0.25  # wider than the default of MaskRules, which leaves every sign
_NOISE = 1.0
_HELD_OUT, _LONG = 400, 20  # compounds, and epochs of a release
_PARALLEL, _INSIDE = 1e-4, 2e-3
_LARGEST = 32  # a batch for the attack that solves
_MOST = 64  # compounds in one gradient; noise looks like many more, and is not worth solving


def presence(update: Weights, base: Weights) -> Doubles:
    """Scores each column by how far its row moved, beyond what weight decay does to all of them.

    Args:
        update: A gradient, a change, a sum of them, or a masked vector.
        base: The weights that decay pulls at.
    """
    rows = update[COUNTS].astype(np.float64)
    own = base[COUNTS].astype(np.float64)
    along = (rows * own).sum(axis=1) / np.maximum((own**2).sum(axis=1), 1e-300)
    shrink = np.median(along)  # the same for every row, and most rows show nothing else
    moved: Doubles = np.sqrt(((rows - shrink * own) ** 2).sum(axis=1))
    return moved


def bits_auc(world: World, update: Weights, base: Weights, rows: Ints) -> float:
    """Returns the AUC of telling the columns that these compounds set from the others."""
    there = (world.counts(rows) > 0).sum(axis=0) > 0
    return auroc(presence(update, base), np.asarray(there, dtype=np.float64))


def one_gradient(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """G1: the union of a batch's bits, by which rows of the gradient are not nothing."""
    base = world.start()
    size = min(512, scale.compounds)
    exact, behind, noisy, hidden = [], [], [], []
    for seed in range(scale.seeds):
        parts = parted(world.draw(size * scale.silos, seed), scale.silos)
        gradients = [world.gradient(base, part, seed) for part in parts]
        there = world.counts(parts[0]).any(axis=0)
        exact.append(float(np.array_equal(gradients[0][COUNTS].any(axis=1), there)))
        behind.append(bits_auc(world, added(gradients), base, parts[0]))
        hidden.append(bits_auc(world, masked(gradients[0], scale.silos), base, parts[0]))
        few = parts[0][:64]
        noisy.append(bits_auc(world, private(world, base, few, _NOISE, seed), base, few))
    yield f"G1 one gradient of {size}: union of bits exact; no defence", exact
    yield "G1 AUC of bit presence: the vector under masks", hidden
    yield f"G1 AUC of one silo's bits: the sum of {scale.silos}", behind
    yield f"G1 AUC of bit presence, batch 64: DP, noise {_NOISE:g} clips a step", noisy


def edges(gradient: Doubles) -> Doubles:
    """Returns the directions that no others add up to: (k, width), each of length 1."""
    norms = np.linalg.norm(gradient, axis=1)
    rows = gradient[norms > norms.max() * 1e-6]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    _, _, basis = np.linalg.svd(unit, full_matrices=False)
    rank = int((np.linalg.svd(unit, compute_uv=False) > 1e-3).sum())
    if rank > _MOST:
        none: Doubles = unit[:0]
        return none
    flat, kept = unit @ basis[:rank].T, list[int]()
    for place, row in enumerate(flat):
        if all(1.0 - float(flat[other] @ row) > _PARALLEL**2 * 50 for other in kept):
            kept.append(place)
    found = []
    for place in kept:
        others = flat[[other for other in kept if other != place]]
        if len(others) == 0 or nnls(others.T, flat[place])[1] > _INSIDE:
            found.append(place)
    result: Doubles = unit[found]
    return result


def compounds_of(gradient: Weights) -> Doubles:
    """Solves one gradient for the compounds behind it: their counts, (k, hash size)."""
    rows = gradient[COUNTS].astype(np.float64)
    found = edges(rows)
    if not len(found):
        return found
    # The bias gets every compound's part once, which tells how long each edge is.
    lengths = np.linalg.lstsq(found.T, gradient["trunk.dense.bias"].astype(np.float64))[0]
    counts = np.linalg.lstsq((found * lengths[:, None]).T, rows.T)[0]
    result: Doubles = np.rint(np.expm1(np.clip(counts, 0.0, 8.0)))
    return result


def recovered(world: World, gradient: Weights, rows: Ints) -> float:
    """Returns the share of the compounds whose counts were found to the last one."""
    try:
        found = {one.tobytes() for one in compounds_of(gradient)}
    except np.linalg.LinAlgError:
        return 0.0
    own = np.rint(np.expm1(world.counts(rows).astype(np.float64)))
    return float(np.mean([one.tobytes() in found for one in own]))


def exact_compounds(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """G2: whole fingerprints, by the edges of the cone."""
    base = world.start()
    for size in (4, 8, _LARGEST)[: 1 if scale.seeds == 1 else 3]:
        runs = []
        for seed in range(scale.seeds):
            rows = world.draw(size, 100 + seed)
            runs.append(recovered(world, world.gradient(base, rows, seed), rows))
        yield f"G2 exact fingerprints, batch {size}: no defence", runs
    summed, noisy, hidden = [], [], []
    for seed in range(scale.seeds):
        parts = parted(world.draw(4 * scale.silos, 200 + seed), scale.silos)
        gradients = [world.gradient(base, part, seed) for part in parts]
        summed.append(recovered(world, added(gradients), parts[0]))
        hidden.append(recovered(world, masked(gradients[0], scale.silos), parts[0]))
        noisy.append(recovered(world, private(world, base, parts[0], _NOISE, seed), parts[0]))
    yield f"G2 exact fingerprints, batch 4: the sum of {scale.silos} silos' gradients", summed
    yield "G2 exact fingerprints, batch 4: the vector under masks", hidden
    yield f"G2 exact fingerprints, batch 4: DP, noise {_NOISE:g} clips", noisy


def planted(base: Weights, chance: np.random.Generator) -> Weights:
    """Returns weights under which each compound wakes units of its own ("trap weights").

    Boenisch et al. 2021 (arXiv:2112.02918): a unit that is silent for most compounds tells one
    from another. Here the counts' weights are drawn anew and the norm's bias keeps five units in
    six silent; the norm couples all units, so that the gradient is solved, not only read.
    """
    result = {name: tensor.copy() for name, tensor in base.items()}
    result[COUNTS] = chance.normal(0.0, 0.3, base[COUNTS].shape).astype(np.float32)
    result["trunk.0.norm.bias"] = np.full_like(base["trunk.0.norm.bias"], -1.0)
    return result


def plant(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """G3: the same attack on a larger batch, where a release had a planted first layer."""
    base = world.start()
    size = 8 if scale.seeds == 1 else _LARGEST
    plain, trapped, summed, worse = [], [], [], []
    order = world.draw(len(world.features), 7)
    rows, learned = np.sort(order[:_HELD_OUT]), order[_HELD_OUT:]
    honest = world.trained(base, learned, _LONG if scale.seeds > 1 else 1, 0)
    for seed in range(scale.seeds):
        trap = planted(honest, np.random.default_rng(seed))
        parts = parted(world.draw(size * scale.silos, 300 + seed), scale.silos)
        plain.append(recovered(world, world.gradient(honest, parts[0], seed), parts[0]))
        gradients = [world.gradient(trap, part, seed) for part in parts]
        trapped.append(recovered(world, gradients[0], parts[0]))
        summed.append(recovered(world, added(gradients), parts[0]))
        worse.append(error(world, trap, rows) / error(world, honest, rows) - 1.0)
    yield f"G3 exact fingerprints, batch {size}: an honest release", plain
    yield f"G3 exact fingerprints, batch {size}: a planted first layer", trapped
    yield f"G3 exact fingerprints, batch {size}: planted, the sum of {scale.silos} silos", summed
    yield "G3 error of the planted release, relative change (the gate refuses 0.25)", worse


def two_epochs(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """G4: which bits a silo's compounds have, from its change after a round."""
    base = world.start()
    alone, cut, behind, hidden = [], [], [], []
    for seed in range(scale.seeds):
        parts = parted(world.draw(scale.compounds * scale.silos, 400 + seed), scale.silos)
        updates = [
            delta(world.trained(base, part, scale.epochs, seed * 100 + place), base)
            for place, part in enumerate(parts)
        ]
        alone.append(bits_auc(world, updates[0], base, parts[0]))
        cut.append(bits_auc(world, clipped(updates[0], _CLIP), base, parts[0]))
        behind.append(bits_auc(world, added(updates), base, parts[0]))
        hidden.append(bits_auc(world, masked(updates[0], scale.silos), base, parts[0]))
    what = f"G4 AUC of bit presence after {scale.epochs} epochs"
    yield f"{what}: no defence", alone
    yield f"{what}: clipped at {_CLIP:g}", cut
    yield f"{what}: the vector under masks", hidden
    yield f"{what}: one silo's bits in the sum of {scale.silos}", behind
