"""Settings of all tests."""

from hypothesis import settings

# The same examples in every run: what CI finds, the developer finds. No deadline: a busy machine is no bug.
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")
