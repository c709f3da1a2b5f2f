"""The manual trial: one process serves the same ledger on each backend, and a page to try them."""
