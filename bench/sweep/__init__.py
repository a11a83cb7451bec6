"""Generating a study's images: units of work, workers on one machine or many, progress, imports.

Imports: bench.device, bench.errors, bench.models, bench.records, bench.store, bench.study,
bench.text_files.
"""
