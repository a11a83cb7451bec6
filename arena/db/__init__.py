"""The arena's database: schema, assignments, raters, vote log, export; the only SQL.

Imports: arena.quality, bench.errors, bench.records.
"""
