"""Secure aggregation SA-1: the aggregator learns sums only. Pure: no I/O, no clock."""
