"""Errors named by what happens next, and the exit codes they become.

Every message is a sentence that tells its reader what to do.
"""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
EXIT_STOP = 78  # EX_CONFIG of sysexits.h; the units name it in RestartPreventExitStatus


class OnggiError(Exception):
    """Anything that this program says in a sentence instead of a traceback."""

    exit_code = EXIT_FAILED


class Stop(OnggiError):
    """Starting again cannot help: a person must change something first."""

    exit_code = EXIT_STOP


class TryLater(OnggiError):
    """The other side is away or busy: back off and try again."""

    exit_code = EXIT_TRY_LATER


class Refused(OnggiError):
    """One item is set aside with a named reason, and everything else goes on.

    Attributes:
        code: A stable snake_case word for machines and tests.
        reason: A sentence for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{reason} [{code}]")
        self.code = code
        self.reason = reason
