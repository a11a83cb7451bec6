"""Where results lie: a study folder on a disk or in an object store, image files, reference images.

Imports: bench.errors, bench.records.
"""
