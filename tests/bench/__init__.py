"""Benchmarks: what the reconciler and its rules cost, side by side with what others do."""
