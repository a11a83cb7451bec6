"""What raters see of a study's images: one encoder, one size, one length; and the hashes that bind a vote to them.

Imports: arena.db, bench.errors, bench.store, bench.study.
"""
