"""The Python client of an Onggi endpoint; it needs nothing of the rest."""
