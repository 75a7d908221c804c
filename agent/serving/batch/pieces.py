"""What a worker is asked of a file: structures in pieces, a line of JSON each."""

import json
from collections.abc import Sequence

from agent.records import Structure

PIECE = 128  # structures that a worker answers in a row; then a call of somebody else gets a turn

Given = tuple[str, Structure]


def write_piece(structures: Sequence[Given]) -> bytes:
    """Writes one piece; it has no line end in it."""
    return json.dumps(structures).encode()


def read_piece(piece: bytes) -> list[Given]:
    """Reads what `write_piece` wrote."""
    return [(text, fmt) for text, fmt in json.loads(piece)]


def cut(piece: bytes) -> list[bytes]:
    """Halves a piece of several structures, so that what is wrong with one is found."""
    structures = read_piece(piece)
    middle = len(structures) // 2
    return [write_piece(structures[:middle]), write_piece(structures[middle:])]
