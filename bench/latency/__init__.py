"""Latency: passes over all contenders in random order, what the machine did meanwhile, and intervals over passes.

Imports: bench.device, bench.errors, bench.models, bench.records, bench.store, bench.study, bench.sweep.
"""
