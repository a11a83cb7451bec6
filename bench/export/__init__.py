"""A study as a data package for others, with its Croissant description.

Imports: bench.errors, bench.records, bench.report, bench.store.
"""
