"""The arena's database: schema, assignments, raters, vote log, export; the only SQL.

Imports: bench.errors, bench.records.
"""
