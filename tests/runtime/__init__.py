"""Tests of orion_registry/runtime."""
