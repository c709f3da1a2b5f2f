"""Apps in the common styles, and a released one, which the conformance run tests.

None of them imports from this repository; `python -m tests.conformance` installs and tests them.
"""
