"""Tables of battles to ratings, win rates, intervals, claims and plans; the schema of ratings.json.

Imports: bench.errors, bench.records, bench.text_files.
"""
