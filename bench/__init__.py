"""Benchmarks: the layers of layers.csv and pools.csv, timed beside other libraries."""
