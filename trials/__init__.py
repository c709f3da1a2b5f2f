"""Serve the same ledger on each backend in one process, with a page to try them."""
