"""Measure the speed that this repository promises, and its alternatives in the same run."""
