"""Applications in the common styles, and one as the package registry has it: each is put through the battery.

None of them imports from this repository; `python -m tests.conformance` installs and tries them.
"""
