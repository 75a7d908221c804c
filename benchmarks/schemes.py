"""What other schemes than masks would cost one silo: `python -m benchmarks.schemes [--json PATH]`.

CKKS is measured as it is built (`agent.wire.homomorphic`). Paillier and proofs of bounded norm are
not built, so for these the one operation is timed that they cannot do without, once for each number
or packed group of numbers of a model; the rest comes on top. Processor time, of one core.
"""

import argparse
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from nacl import bindings
from rich.console import Console

from agent.wire.homomorphic import MOST_NUMBERS, SumKey, add, encrypt
from benchmarks.report import Row, median, save, show

_RUNS, _SILOS, _PARAMETERS = 5, 5, 1_000_000
_MODULUS_BITS = 2_048  # 112-bit security (NIST SP 800-57, table 2)
_PACKED_BITS = 32 + 7  # a quantized number, with room for the sum of 100 silos


def _cpu_s(work: Callable[[], object]) -> list[float]:
    runs = []
    for _ in range(_RUNS):
        began = time.process_time()
        work()
        runs.append(time.process_time() - began)
    return runs


def _row(name: str, runs: list[float], unit: str = "s CPU", times: float = 1.0) -> Row:
    scaled = [times * run for run in runs]
    return Row(name, median(scaled), unit, runs=scaled)


def encrypted_rows(count: int) -> list[Row]:
    """Times CKKS for so many numbers."""
    key, numbers = SumKey.fresh(), np.random.default_rng(0).normal(size=count)
    public = key.public
    given = [encrypt(public, numbers) for _ in range(_SILOS)]
    total = add(public, given)
    size = sum(len(piece) for piece in given[0]) / 1e6
    off = float(np.abs(key.open(total, count) - _SILOS * numbers).max())
    name = f"CKKS, {count:,} numbers"
    return [
        _row(f"{name}: a silo encrypts", _cpu_s(lambda: encrypt(public, numbers))),
        Row(f"{name}: what it sends", size, "MB"),
        _row(f"{name}: adding {_SILOS} silos", _cpu_s(lambda: add(public, given))),
        _row(f"{name}: opening the sum", _cpu_s(lambda: key.open(total, count))),
        Row(f"{name}: largest error", off, ""),
    ]


def paillier_row() -> Row:
    """Times the exponentiation of an encryption (Paillier 1999): r^n modulo n^2."""
    n = secrets.randbits(_MODULUS_BITS) | 1 << (_MODULUS_BITS - 1) | 1
    base = secrets.randbelow(n)
    groups = -(-_PARAMETERS // (_MODULUS_BITS // _PACKED_BITS))
    name = f"Paillier, {_PARAMETERS:,} numbers in {groups:,} groups: exponentiations alone"
    return _row(name, _cpu_s(lambda: pow(base, n, n * n)), times=groups)


def commitment_row() -> Row:
    """Times a Pedersen commitment to each number, before anything is proven of it.

    Two multiplications on edwards25519, as proofs of a bounded norm begin (RoFL, EIFFeL).
    """
    point = bindings.crypto_scalarmult_ed25519_base(secrets.token_bytes(32))
    scalars = [
        bindings.crypto_core_ed25519_scalar_reduce(secrets.token_bytes(64)) for _ in range(200)
    ]

    def commit() -> None:
        for scalar in scalars:
            first = bindings.crypto_scalarmult_ed25519_noclamp(scalar, point)
            second = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
            bindings.crypto_core_ed25519_add(first, second)

    name = f"proof of bounded norm, {_PARAMETERS:,} numbers: commitments alone"
    return _row(name, _cpu_s(commit), times=_PARAMETERS / len(scalars))


def main() -> None:
    """Measures, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [*encrypted_rows(1_000), *encrypted_rows(MOST_NUMBERS), paillier_row(), commitment_row()]
    show(rows, Console(width=120))
    if given.json:
        save(rows, given.json)


if __name__ == "__main__":
    main()
