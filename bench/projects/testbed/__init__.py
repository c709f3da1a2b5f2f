"""One test on the servers of the harness."""
