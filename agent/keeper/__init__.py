"""The process that decides: it watches, orders work, seals, verifies, gates, and remembers."""
