"""What a study is: the schema of its file, and the study read, checked and resolved.

Imports: bench.errors, bench.metrics, bench.models, bench.prompts, bench.ratings, bench.records,
bench.store.
"""
