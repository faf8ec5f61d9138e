"""Settings of all tests."""

from hypothesis import settings

# The same examples in every run: what CI finds, the developer finds.
settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")
