"""Benchmarks: not tests. Medians and ratios measured side by side in one run; `make bench` runs them all."""
