"""Hypothesis without deadlines: a busy machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("no-deadline")
settings.load_profile("no-deadline")
