"""Where a run's numbers are kept for other programs to show: one module for each kind of store.

All stores lie in the run's folder, below `tracker/`, and nothing is sent anywhere.
"""
