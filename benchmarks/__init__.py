"""How fast is it here? Figures are never asserted; docs/benchmarks.md says what each means.

`python -m benchmarks` (make bench) measures a whole Ingate: `cases` by `measure` on what `running` starts, with
`bodies` sent by `load`, `processes` watched, and a table by `report`. `benchmarks.stages` and `benchmarks.extraction`
look into one process; `benchmarks.peers` (make bench-peers) runs others beside it.
"""
