"""Prompt sets: shipped, fetched, and read from files of a user's own.

Imports: bench.errors, bench.records, bench.store, bench.text_files.
"""
