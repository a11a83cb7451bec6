"""Metrics: pictures to numbers that say how sure they are.

| module | owns |
|---|---|
| `table` | `METRICS`: what each metric is, tells and cannot tell |
| `extractors`, `weights` | `EXTRACTORS`: which networks read pictures; where their files are, and how they get here |
| `networks` | those networks, loaded: Inception, CLIP, DINOv2, LPIPS, ImageReward, InstructBLIP |
| `features`, `rows` | pictures to rows of numbers, computed once, kept on disk, read block by block |
| `references`, `reference_fetch` | what distances compare with, and its homes |
| `frechet`, `kernels`, `neighbours`, `similarity`, `intervals` | the algebra, on plain arrays |
| `estimates` | rows to a value with its interval: `STATISTICS` |
| `agreement` | how far a metric agrees with people's votes |

Nothing here knows a study: `bench.needs` says what one takes, `bench.census` which of its images count, `bench.mlperf`
what a published protocol asks of it, and `bench.score` runs them over it. A new metric is one entry in `table`, and one
in `extractors` where its network is new.
"""
