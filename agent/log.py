"""Structured log lines: an event, counts and ids; never a structure, a value or a secret."""

import json
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from functools import partial

_FIELDS = "onggi_fields"


class _JsonLines(logging.Formatter):
    """One JSON object a line, which journald and people can both read."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "t": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, _FIELDS, {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _last_frame(record)
        return json.dumps(line, ensure_ascii=False, default=str)


class _PlainLines(logging.Formatter):
    """The same for eyes at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = " ".join(f"{k}={v}" for k, v in getattr(record, _FIELDS, {}).items())
        where = record.name.removeprefix("agent.")
        error = f" {_last_frame(record)}" if record.exc_info else ""
        return f"{moment} {record.levelname[0]} {where}: {record.getMessage()} {fields}{error}"


def _last_frame(record: logging.LogRecord) -> str:
    # The place, not the message: a foreign exception's text may quote a row of data.
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"


def setup(level: str = "INFO") -> None:
    """Sends every log line of this process to stderr: JSON, or plain lines at a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainLines() if sys.stderr.isatty() else _JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    threading.excepthook = _thread_died
    for chatty in ("apscheduler", "watchdog", "urllib3", "uvicorn.access"):
        logging.getLogger(chatty).setLevel("WARNING")


def follow_signals() -> None:
    """Lets SIGUSR1 and SIGUSR2 change how much is logged, without a restart: DEBUG and INFO."""
    for number, level in ((signal.SIGUSR1, logging.DEBUG), (signal.SIGUSR2, logging.INFO)):
        signal.signal(number, partial(_change, level))


def _change(level: int, *_: object) -> None:
    logging.getLogger().setLevel(level)


def _thread_died(args: threading.ExceptHookArgs) -> None:
    # As at the edge of the command line: the place, never the message.
    trace = args.exc_traceback
    info = (args.exc_type, args.exc_value or args.exc_type(), trace)
    logging.getLogger("agent").error("a thread died", exc_info=info)


def event(logger: logging.Logger, name: str, **fields: str | float | bool | None) -> None:
    """Logs one event with its counts and ids at level INFO."""
    logger.info(name, extra={_FIELDS: fields})


def trouble(logger: logging.Logger, name: str, **fields: str | float | bool | None) -> None:
    """Logs one event that a person may want to act on, at level WARNING."""
    logger.warning(name, extra={_FIELDS: fields})
