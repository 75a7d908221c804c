"""No test has a time limit, on a busy machine least of all: Hypothesis' own is off."""

from hypothesis import settings

settings.register_profile("onggi", deadline=None)
settings.load_profile("onggi")
