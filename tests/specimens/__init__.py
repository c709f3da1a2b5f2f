"""Bindings with a mistake, and for each its corrected twin and the checks that must catch the mistake.

Each of the modules `connections`, `ends`, `engines`, `faults`, `published` and `scopes` has a table of them.
The module `sound` has bindings that look unusual and are right: no check may fail on them.
"""
