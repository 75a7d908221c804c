"""Releases: checked weights, the decision to use them, and the folders that they live in."""
