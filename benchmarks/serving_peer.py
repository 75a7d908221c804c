"""ADMET-AI's part of the benchmark of serving; it runs in the peer's environment alone.

`python serving_peer.py bulk FILE 0` prints processor seconds for the SMILES of a file, after a
warm-up; `single` those of the clock for one molecule.
"""

import sys
import time
from pathlib import Path

import torch
from admet_ai import ADMETModel  # type: ignore[import-not-found]


def main() -> None:
    """Does what the first argument says."""
    kind, path, _ = sys.argv[1:]
    torch.set_num_threads(1)
    smiles = Path(path).read_text().split()
    model = ADMETModel(num_workers=0)
    model.predict(smiles=smiles[:2])
    if kind == "single":
        began = time.perf_counter()
        model.predict(smiles=smiles[0])
        print(time.perf_counter() - began)
        return
    began = time.process_time()
    model.predict(smiles=smiles)
    print(time.process_time() - began)


if __name__ == "__main__":
    main()
