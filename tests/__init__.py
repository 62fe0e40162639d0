"""Tests, by room. Below floor 4 time is virtual: nothing sleeps."""
