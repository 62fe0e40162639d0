"""Tests of orion_registry/store."""
