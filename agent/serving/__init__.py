"""Predict: the chemists' endpoint; it reads releases and knows no key and no measurement."""
