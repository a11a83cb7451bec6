"""The way into a study: questions about the rater, quotas, practice pairs.

Imports: arena.admission, arena.db, bench.errors, bench.study.
"""
