"""A study folder to one page, LaTeX, tables and figures; it reads files, never a live object.

Imports: bench.errors, bench.latency, bench.metrics, bench.papers, bench.ratings, bench.records, bench.store.
"""
