"""The manual trial: the same ledger on each backend, side by side in one process."""
