"""A study folder to one page, LaTeX, tables and figures; it reads files, never a live object.

Imports: bench.errors, bench.papers, bench.records, bench.store.
"""
