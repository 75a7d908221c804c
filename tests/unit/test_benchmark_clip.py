import numpy as np

from agent.wire.documents import MaskRules
from benchmarks.clip import Run, cut


def test_biases_of_heads_have_a_clip_of_their_own() -> None:
    names = ("trunk.dense.bias", "head.logd.bias", "1/head.logd.bias", "1/head.logd.weight")
    update = {name: np.array([3.0, -0.01], np.float32) for name in names}
    found = cut(update, MaskRules(clip=0.02, bias_clip=0.5))
    most = {name: float(np.abs(tensor).max()) for name, tensor in found.items()}
    assert most == {
        names[0]: np.float32(0.02),
        names[1]: 0.5,
        names[2]: 0.5,
        names[3]: np.float32(0.02),
    }
    assert all(tensor[1] == np.float32(-0.01) for tensor in found.values())


def test_what_a_round_moved_is_told_apart() -> None:
    update = {"trunk.dense.bias": np.full(9, -0.02), "head.logd.bias": np.full(9, 0.3)}
    run = Run([], [update])
    assert run.quantiles(biases=False).max() == 0.02
    assert run.quantiles(biases=True).max() == 0.3
