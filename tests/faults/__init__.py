"""Real faults on real processes: `python -m tests.faults --help`."""
