"""One test on containers of testcontainers."""
