"""Bindings with a mistake, their corrected twins, and the checks that must catch them.

Each of the modules `connections`, `ends`, `engines`, `faults`, `published`, `schema` and `scopes` has a table
of them.
The module `sound` has bindings that look unusual and are right: no check may fail on them.
"""
