"""The `bench` command: options, tables and messages; one file a group of commands.

Imports: bench.address, bench.device, bench.doctor, bench.errors, bench.export, bench.gallery, bench.latency,
bench.live, bench.metrics, bench.models, bench.prompts, bench.records, bench.report, bench.run,
bench.scoring, bench.store, bench.study, bench.sweep.
"""
