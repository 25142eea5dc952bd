"""Which session belongs to which shop: by the data's own shops, by topic, by quantity, or at random.

Each is a `Partition` of `core.protocols`; a user's own is a class and a YAML file. Every shop gets
at least `min_sessions` sessions (`skew.fill_up`).
"""
