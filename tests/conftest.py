"""Settings of the property tests: the same examples on every run, and no clock."""

from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None, database=None, max_examples=40)
settings.load_profile("suite")
