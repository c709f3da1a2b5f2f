"""These judge the applications."""

from tests.conformance.measured import document, subject

__all__ = ["document", "subject"]
