"""These judge the peers."""

from .measured import document, subject

__all__ = ["document", "subject"]

# They run in the peers' environments, as `reproduce` does it.
collect_ignore = ["peers", "reproductions"]
