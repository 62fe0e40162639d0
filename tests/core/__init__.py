"""Tests of orion_registry/core."""
