"""Benchmarks: `python -m benchmarks --help`. Inputs are generated, peers come from packages, results go to docs/performance.md."""
