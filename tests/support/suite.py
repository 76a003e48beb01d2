"""Runs the unittest cases of a module and ends with the one line that the table of all suites is made from."""

import os
import random
import sys
import unittest

THOROUGH = bool(os.environ.get("TENON_THOROUGH"))  # the second tier: every test at full length


def number(variable, quick, thorough):
    """How often a test does what it does at random: as the environment says, or as this tier does."""
    return int(os.environ.get(variable) or (thorough if THOROUGH else quick))


def seed():
    """Where chance begins: anew in each run, unless TENON_SEED repeats one that failed."""
    return int(os.environ.get("TENON_SEED") or random.SystemRandom().randrange(1 << 32))


class _Result(unittest.TextTestResult):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def note(text):
    """What a suite has measured: the table of all suites shows it too."""
    print(f"\nnote: {text}", flush=True)


def main(module="__main__"):
    """Run every test of the module; NAME arguments on the command line select some of them."""
    loader = unittest.defaultTestLoader
    if len(sys.argv) > 1:
        suite = loader.loadTestsFromNames(sys.argv[1:], sys.modules[module])
    else:
        suite = loader.loadTestsFromModule(sys.modules[module])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=_Result).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    for test, reason in result.skipped:
        print(f"left out: {test}: {reason}")
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped", flush=True)
    sys.exit(1 if failed or result.passed + len(result.skipped) == 0 else 0)
