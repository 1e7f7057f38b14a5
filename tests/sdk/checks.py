"""Checks that are counted, and that say what they saw where they fail."""

import contextlib
import sys


class Checks:
    """Counts what held and what did not."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def that(self, claim, holds, seen=None):
        """Notes whether a claim holds; `seen` is told where it does not."""
        if holds:
            self.passed += 1
            return
        self.failed += 1
        told = "" if seen is None else f": saw {seen!r}"
        print(f"FAILED: {claim}{told}", file=sys.stderr)

    def equal(self, claim, seen, wanted):
        """Notes whether two values are the same."""
        self.that(f"{claim} (wanted {wanted!r})", seen == wanted, seen)

    @contextlib.contextmanager
    def refused(self, claim, kind, status, code):
        """Notes whether what is done inside is refused in just this way.

        The class must be this one, not one of its parents: the SDK maps a
        status to a class, and a caller catches by it.
        """
        wanted = f"{kind.__name__} {status} {code}"
        try:
            yield
        except Exception as error:  # whatever comes is looked at
            told = getattr(getattr(error, "error", None), "code", None)
            seen = (type(error), getattr(error, "status_code", None), told)
            self.that(f"{claim} (wanted {wanted})", seen == (kind, status, code), f"{seen} {error}")
            return
        self.that(f"{claim} (wanted {wanted})", False, "no refusal")

    def finish(self):
        """Tells the sum; the exit code."""
        if self.failed:
            print(f"{self.failed} of {self.passed + self.failed} checks failed", file=sys.stderr)
            return 1
        print(f"{self.passed} checks passed")
        return 0
