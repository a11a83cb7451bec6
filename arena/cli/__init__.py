"""The `arena` command: options, tables and messages.

Imports: arena.admission, arena.db, arena.panels, arena.quality, arena.results, arena.shown, arena.simulate,
arena.voting, arena.web, bench.address, bench.errors, bench.ratings, bench.records, bench.scoring, bench.store,
bench.study.
"""
