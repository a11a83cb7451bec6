"""Arrays to numbers: networks, features, distances and their intervals; no study is known here.

A new metric is an entry in `registry`, and one in `extractors` where its network is new.

Imports: bench.errors, bench.models, bench.records, bench.store.
"""
