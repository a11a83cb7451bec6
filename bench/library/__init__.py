"""What `import bench` offers to a notebook or a script: results as data frames, ratings, scores, images.

Imports: bench.errors, bench.export, bench.metrics, bench.ratings, bench.records, bench.report, bench.run,
bench.scoring, bench.store, bench.study, bench.sweep.
"""
