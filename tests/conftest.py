"""The same tests on the same code give the same result: property-based tests draw the same examples every time."""

from hypothesis import Phase, settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
# For `make mutants`: the first example that fails will do, however large.
settings.register_profile("mutants", settings.get_profile("repeatable"), phases=(Phase.explicit, Phase.generate))
settings.load_profile("repeatable")
