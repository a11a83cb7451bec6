"""Browse a study's images: what the gallery shows, as one document; the local Gradio page.

Imports: bench.address, bench.errors, bench.records, bench.report, bench.store.
"""
