"""What comes out of a study: battles for any tool, the log, the table of participants and the files they are paid by.

Imports: arena.db, arena.quality, bench.errors, bench.ratings, bench.records, bench.study.
"""
