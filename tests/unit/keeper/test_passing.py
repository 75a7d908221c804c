import errno

import pytest

from agent.keeper.passing import is_passing


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.ENOSPC, ""), True),
        (OSError(errno.EIO, ""), True),
        (OSError(errno.ESTALE, ""), True),
        (TimeoutError(errno.ETIMEDOUT, ""), True),
        (FileNotFoundError(errno.ENOENT, ""), False),
        (PermissionError(errno.EACCES, ""), False),
        (OSError("without a number"), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_what_passes(error: BaseException | None, passes: bool) -> None:
    assert is_passing(error) is passes
