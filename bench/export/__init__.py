"""A study as a data package with its Croissant description, and as a static site.

Imports: bench.errors, bench.gallery, bench.records, bench.report, bench.store.
"""
