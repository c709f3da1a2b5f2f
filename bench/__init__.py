"""The benchmark: what this repository promises of speed, measured beside its rivals in the same run."""
