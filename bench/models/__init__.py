"""Models: their registry, their weights, and the pipelines that turn prompts into pixels.

Imports: bench.device, bench.errors, bench.papers, bench.records, bench.store.
"""
