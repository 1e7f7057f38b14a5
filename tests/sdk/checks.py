"""Counts checks, and prints the actual value of those that fail."""

import contextlib
import sys


class Checks:
    """Counts passed and failed checks."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def that(self, claim, holds, seen=None):
        """Checks a claim; `seen` is printed if it fails."""
        if holds:
            self.passed += 1
            return
        self.failed += 1
        detail = f": saw {seen!r}" if seen is not None else ""
        print(f"FAILED: {claim}{detail}", file=sys.stderr)

    def equal(self, claim, seen, expected):
        """Checks that two values are equal."""
        self.that(f"{claim} (expected {expected!r})", seen == expected, seen)

    @contextlib.contextmanager
    def refused(self, claim, kind, status, code):
        """Checks that the block raises exactly this error.

        The class must be this one, not one of its parents: the SDK maps a
        status to a class, and a caller catches by it.
        """
        expected = f"{kind.__name__} {status} {code}"
        try:
            yield
        except Exception as error:  # any error is compared
            error_code = getattr(getattr(error, "error", None), "code", None)
            seen = (type(error), getattr(error, "status_code", None), error_code)
            self.that(f"{claim} (expected {expected})", seen == (kind, status, code), f"{seen} {error}")
            return
        self.that(f"{claim} (expected {expected})", False, "no error")

    def finish(self):
        """Prints the counts and returns the exit code."""
        if self.failed:
            print(f"{self.failed} of {self.passed + self.failed} checks failed", file=sys.stderr)
            return 1
        print(f"{self.passed} checks passed")
        return 0
