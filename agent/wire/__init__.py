"""The protocol: what travels between a silo and the consortium. Pure: no I/O, no clock."""
