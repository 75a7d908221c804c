"""The ledger's tables and how an older file becomes a newer one."""

import sqlite3

from agent.wire.merkle import leaf_hash

_V1 = """
CREATE TABLE item (
  kind TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '{}', created TEXT NOT NULL, changed TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX item_by_state ON item (kind, state, number);
CREATE TABLE transition (
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
  before TEXT NOT NULL, after TEXT NOT NULL, why TEXT NOT NULL
);
CREATE INDEX transition_by_item ON transition (kind, id, seq);
CREATE TABLE document (
  kind TEXT NOT NULL, id TEXT NOT NULL, content BLOB NOT NULL, taken TEXT NOT NULL,
  PRIMARY KEY (kind, id)
);
CREATE TABLE floor (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE egress (
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL, envelope_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL, recipient TEXT NOT NULL, round_id TEXT NOT NULL, bytes INTEGER NOT NULL,
  blob_sha256 TEXT NOT NULL, before TEXT NOT NULL, head TEXT NOT NULL
);
CREATE TABLE score (
  owner TEXT NOT NULL, snapshot TEXT NOT NULL, task TEXT NOT NULL, metric TEXT NOT NULL,
  value REAL, n_train INTEGER NOT NULL, n_test INTEGER NOT NULL,
  PRIMARY KEY (owner, snapshot, task)
) WITHOUT ROWID;
"""

# The hash chain becomes a Merkle tree: each of its lines is a leaf, in the form that
# `wire.statements.Leaf` reads; what their headers were is not known any more.
_EGRESS_TREE = """
ALTER TABLE egress RENAME TO egress_chain;
CREATE TABLE egress (
  seq INTEGER PRIMARY KEY, envelope_id TEXT NOT NULL, leaf BLOB NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX egress_by_envelope ON egress (envelope_id, seq);
INSERT INTO egress SELECT seq, envelope_id, leaf, leaf_hash(leaf) FROM (
  SELECT seq, envelope_id, CAST(json_object(
    'about', round_id, 'at', at, 'blob_sha256', blob_sha256, 'by', 'policy', 'bytes', bytes,
    'decision', 'released', 'envelope_id', envelope_id, 'header', '', 'kind', kind, 'to', recipient
  ) AS BLOB) AS leaf FROM egress_chain ORDER BY seq
);
DROP TABLE egress_chain;
"""

# What `agent.privacy.account` books: each entry with the head of the chain after it.
_PRIVACY = """
CREATE TABLE privacy (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL, head TEXT NOT NULL);
"""

_MIGRATIONS = (_V1, _EGRESS_TREE, _PRIVACY)
VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> int:
    """Brings the tables to this program's version, each step in one transaction.

    Returns:
        The version found before; larger than `VERSION` when a newer program wrote the file,
        which is then left alone.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.create_function("leaf_hash", 1, leaf_hash, deterministic=True)
    for number in range(found, VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        )
    return int(found)
