"""From structures to numbers: the very same code in training, scoring and serving."""
