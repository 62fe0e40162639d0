"""Planted faults: the code is broken on purpose, one fault at a time, and a named test has to notice."""
