"""Faults of the disk or the network share that end by themselves or once somebody clears space."""

import errno

# Codes of a refusal: of one file that is read again; of a job that is done later; of a job for
# which a person must change something first.
CODE, TRY_LATER, STOP = "passing_fault", "try_later", "stop"

_PASSING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,  # an NFS server that was restarted
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,  # an SMB server that is away
        errno.EHOSTUNREACH,
        errno.ENOTCONN,
        errno.ENFILE,
        errno.EMFILE,
    }
)


def is_passing(error: BaseException | None) -> bool:
    """Tells whether the very same may succeed later without a change to any file."""
    return isinstance(error, OSError) and error.errno in _PASSING
