"""Scenarios: stories of failure detection that run. See `python -m tests.scenarios --help`."""
