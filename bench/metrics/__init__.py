"""Metrics: pictures to numbers that say how sure they are.

| module | owns |
|---|---|
| `table` | `METRICS`: what each metric is, tells and cannot tell |
| `extractors`, `weights` | `EXTRACTORS`: which networks read pictures; where their files are, and how they get here |
| `networks` | those networks, loaded: Inception, CLIP, DINOv2, LPIPS, ImageReward, InstructBLIP |
| `features`, `rows` | pictures to rows of numbers, computed once, kept on disk, read block by block |
| `census`, `references`, `reference_fetch` | which images count; what distances compare with, and its homes |
| `frechet`, `kernels`, `neighbours`, `similarity`, `intervals` | the algebra, on plain arrays |
| `estimates` | rows to a value with its interval: `STATISTICS` |
| `agreement` | how far a metric agrees with people's votes |
| `needs` | which metrics, networks and references a study takes, what of them is wanting, how it gets here |
| `mlperf` | one published protocol: pass or fail |

`bench.score` runs them over a study. A new metric is one entry in `table`, and one in `extractors` where its
network is new.
"""
