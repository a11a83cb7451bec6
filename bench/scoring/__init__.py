"""A study's images to rows of scores, and how far metrics agree with people.

Imports: bench.errors, bench.metrics, bench.models, bench.prompts, bench.ratings, bench.records, bench.store,
bench.study, bench.sweep.
"""
