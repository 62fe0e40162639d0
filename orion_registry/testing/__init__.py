"""Fakes that are kept as carefully as the real thing: clock, randomness, stores, and a daemon inside the test."""
