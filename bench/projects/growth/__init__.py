"""Tests that there are several times."""
