"""The measures still work: every row at tiny sizes, once. What comes out is not judged, only that it came from work that
was done."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support")]

import environments  # noqa: E402
import run as bench  # noqa: E402
import suite  # noqa: E402

PEERS = {"load": ["libcurl alone", "huggingface_hub"],
         "one file": ["curl", "aria2c -x8", "hf", "curl, then durable", "tenon without TLS"],
         "many files": ["hf, 8 workers", "hf, 32 workers", "tenon without TLS"],
         "many jobs": [], "size": [], "start": ["hf"], "verify": ["hf"]}


class Bench(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def test_every_row_works(self):
        try:
            environments.huggingface_hub(2)
        except environments.Missing as reason:
            self.skipTest(str(reason))
        for program in ("aria2c", "curl"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")
        results = os.path.join(self.scratch, "results.json")
        command = [sys.executable, os.path.join(HERE, "run.py"), "--small", "--folder", os.path.join(self.scratch, "files"),
                   "--json", results]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(results, encoding="utf-8") as file:
            rows = json.load(file)["rows"]
        self.assertEqual(set(rows), set(bench.ROWS))
        for name, row in rows.items():
            with self.subTest(name):
                self.assertTrue(row["goals"] and row["limits"])
                self.assertLessEqual({bench.TENON, *PEERS[name]}, set(row["runs"]))
                for runs in row["runs"].values():
                    figures = [run[what] for run in runs for what in ("wall", "peak", "bytes") if what in run]
                    self.assertTrue(figures and all(figure > 0 for figure in figures))
                for goal in row["goals"]:
                    self.assertIn(f"{name:12} {goal['goal'][:52]}", done.stdout)
        self.assertFalse(os.path.exists(os.path.join(self.scratch, "files")), "it leaves its files behind")

    def test_work_that_was_not_done_is_no_figure(self):
        class Quiet(bench.Bench):
            def __init__(self, folder):  # pylint: disable=super-init-not-called
                self.folder, self.turn = folder, 0

            def environment(self, home, variables):
                return dict(os.environ)
        quiet = Quiet(self.scratch)
        self.assertEqual(len(quiet.measure(bench.Peer("x", lambda home: ["true"], bench.anything))), 5)
        with self.assertRaisesRegex(RuntimeError, "x did not do its work"):
            quiet.measure(bench.Peer("x", lambda home: ["false"], bench.anything))
        with self.assertRaisesRegex(RuntimeError, "x did not do its work"):
            quiet.measure(bench.Peer("x", lambda home: ["true"], lambda home, output: False))

    def test_ratios_are_of_the_same_round(self):
        runs = {"a": [{"cpu": 1}, {"cpu": 10}, {"cpu": 3}], "b": [{"cpu": 2}, {"cpu": 20}, {"cpu": 3}]}
        self.assertEqual(bench.ratio(runs, "a", "b", "cpu"), 0.5)
        self.assertTrue(bench.goal("", 0.5, 1)["met"])
        self.assertFalse(bench.goal("", 7, 8, least=True)["met"])


if __name__ == "__main__":
    suite.main()
