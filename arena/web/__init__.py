"""What a browser talks to: the rater's page, the administrator's page, image bytes, security.

Imports: arena.admission, arena.db, arena.entry, arena.feedback, arena.panels, arena.quality, arena.results,
arena.shown, arena.voting, bench.errors, bench.live, bench.ratings, bench.records, bench.study.
"""
