"""Fixtures for all tests."""

pytest_plugins = ["tests.ring.fixtures", "tests.real.fixtures"]
