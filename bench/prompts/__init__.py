"""Prompt sets: shipped, fetched, and read from files of a user's own.

Imports: bench.download, bench.errors, bench.records, bench.store.
"""
