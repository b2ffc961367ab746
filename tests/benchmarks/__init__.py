"""Measurements, as medians and as ratios to a bare interpreter in the same run. None of them is a test."""
