"""For all tests: no test may fail because the machine was slow, so Hypothesis gives its examples no deadline."""

from hypothesis import settings

settings.register_profile("orion", deadline=None)
settings.load_profile("orion")
