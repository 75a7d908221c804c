"""Differential privacy without tensors: what noise costs, and the book of what was spent."""
