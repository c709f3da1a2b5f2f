"""Applications in the common styles, and a released one: the conformance run tests each by the battery.

None of them imports from this repository; `python -m tests.conformance` installs and tests them.
"""
