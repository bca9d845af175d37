#!/usr/bin/env python3
"""End-to-end tests: real martletd processes, real Redis clients.

    Tests/EndToEnd/run.py [--programs .build/release] [--keep] [WORD ...]

Runs the tests whose name has one of the words (all without one). Needs redis-cli, redis-benchmark and
Python's redis module (scripts/bootstrap --test). What needs root is skipped with a line when run by another.
--keep leaves the folders of failed tests.
"""

import argparse
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from harness import cluster, scenario  # noqa: E402


class Result(unittest.TextTestResult):
    """One line a test, with its time."""

    passed = 0
    began = 0.0

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def say(self, test, word, detail=""):
        # A class that can't be set up has no beginning of its own.
        took = time.monotonic() - self.began if self.began else 0
        self.began = 0.0
        title = ".".join(test.id().split(".")[-2:])
        print(f"  {word:8}{took:6.1f} s  {title}{detail}", flush=True)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.passed += 1
        self.say(test, "passed")

    def addFailure(self, test, error):
        unittest.TestResult.addFailure(self, test, error)
        self.say(test, "FAILED")
        print(self.failures[-1][1], flush=True)

    def addError(self, test, error):
        unittest.TestResult.addError(self, test, error)
        self.say(test, "FAILED")
        print(self.errors[-1][1], flush=True)

    def addSubTest(self, test, subtest, error):
        unittest.TestResult.addSubTest(self, test, subtest, error)
        if error is not None:
            # The test itself is told of neither as passed nor as failed.
            self.say(test, "FAILED", f": {subtest._subDescription()}")
            failed = issubclass(error[0], test.failureException)
            print((self.failures if failed else self.errors)[-1][1], flush=True)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        self.say(test, "skipped", f": {reason}")

    def printErrors(self):
        """Each was printed as it came."""


def chosen(suite, words):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from chosen(test, words)
        elif not words or any(word in test.id() for word in words):
            yield test


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--programs", default=os.path.join(HERE, "..", "..", ".build", "release"))
    options.add_argument("--keep", action="store_true")
    options.add_argument("words", nargs="*")
    given = options.parse_args()
    cluster.set_programs(given.programs)
    scenario.keep_folders = given.keep
    if not os.access(os.path.join(cluster.programs, "martletd"), os.X_OK):
        print(f"no martletd in {cluster.programs}: make build", file=sys.stderr)
        return 2
    tests = unittest.TestSuite(chosen(unittest.defaultTestLoader.discover(HERE, "test_*.py"), given.words))
    result = unittest.TextTestRunner(
        stream=open(os.devnull, "w", encoding="utf-8"), resultclass=Result, verbosity=0).run(tests)
    # A test may fail and then fail to tidy up: one test all the same.
    failures = [getattr(test, "test_case", test) for test, _ in result.failures + result.errors]
    failed = len({test.id() for test in failures})
    if failed:
        # Once more where the end of a long output shows it.
        print("\nFailed:")
        for test, trace in result.failures + result.errors:
            print(f"  {test.id()}: {trace.strip().splitlines()[-1]}")
    print(f"\n{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    if result.testsRun == 0 and failed == 0:
        print("no test has that name", file=sys.stderr)
        return 2
    return 1 if failed else 0


sys.exit(main())
