"""The live page: images while the text is typed, and the time to each as its user feels it.

Imports: bench.device, bench.errors, bench.models, bench.prompts, bench.records, bench.store.
"""
