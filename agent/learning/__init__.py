"""Network, training, scoring and export; the only package that knows torch."""
