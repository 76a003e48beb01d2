"""Every allocation of a context fails once, and from then on for good, in a whole download, a training job, a served job and a
chat: nothing crashes, nothing leaks, the status says so, what is on the disk is whole, and the same context goes on with memory
again. All under the sanitizers; with TENON_THOROUGH=1 every allocation, else a sample.

    TENON_SEED=N   the seed of a run that failed
"""

import json
import os
import random
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "hub"), os.path.join(HERE, "..", "job"), os.path.join(HERE, "..", "support")]

import hubtest
import layout
import library
import repositories
import suite
from hubtest import CHECKED, PLAIN, read
from simulator import Simulator

SEED = suite.seed()
SAMPLE = None if os.environ.get("TENON_THOROUGH") else 10  # allocations of a scenario; None: all
SERVER = os.path.join(PLAIN, "tests", "torture", "server")
TRAIN = {"command": ["sh", "-c", 'printf x >> "$$MARKS/$$MARK"; echo "{\\"step\\": 1, \\"loss\\": 0.5}"; echo model > "$$TENON_OUTPUT/model.bin"'],
         "outputs": ["model.bin"]}
SERVE = {"command": [SERVER], "port": 0, "health": "/health"}


class Allocations(hubtest.HubTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"to do it again: TENON_SEED={SEED}", flush=True)

    def setUp(self):
        super().setUp()
        self.jobs, self.marks = os.path.join(self.home, "jobs"), os.path.join(self.home, "marks")
        os.mkdir(self.marks)

    def start_driver(self, scenario, *arguments):
        sets = {"job.folder": self.jobs, "job.supervisor": os.path.join(PLAIN, "lib", "tenon-supervisor"), "transport.backoff_ms": 1}
        words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
        command = [os.path.join(CHECKED, "tests", "torture", "driver"), *words, "--cache", self.cache, *arguments, scenario]
        with open(os.path.join(self.home, "errors"), "wb") as errors:
            self.driver = subprocess.Popen(command, env=self.environment(MARKS=self.marks), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=errors, text=True)
        self.addCleanup(self.end_driver)

    def end_driver(self):
        """At its end the sanitizers say what they have seen."""
        self.driver.communicate()
        errors = read(os.path.join(self.home, "errors")).decode(errors="replace")
        self.assertEqual((self.driver.returncode, errors), (0, ""))

    def play(self, number, how):
        """One round of the driver."""
        self.key = f"{number}-{how}"
        self.driver.stdin.write(f"{number} {how} {self.key}\n")
        self.driver.stdin.flush()
        line = self.driver.stdout.readline()
        self.assertTrue(line, "it hangs, or has crashed: " + read(os.path.join(self.home, "errors")).decode(errors="replace"))
        return json.loads(line)

    def each_allocation(self, check):
        """check(outcome) after every allocation (of the sample) has failed, alone and with all that follow."""
        outcome = self.play(0, "once")
        self.assertEqual((outcome["first"]["status"], outcome["again"]["status"], outcome["left"]), ("OK", "OK", 0), outcome)
        check(outcome)
        every = range(1, outcome["asked"] + 1)
        chosen = every if SAMPLE is None or len(every) <= SAMPLE else sorted(random.Random(f"{SEED} {self.id()}").sample(every, SAMPLE))
        seen = {}
        for number in chosen:
            for how in ("once", "good"):
                with self.subTest(allocation=f"{number} of {len(every)}", how=how):
                    outcome = self.play(number, how)
                    first, again = outcome["first"], outcome["again"]
                    seen[first["status"]] = seen.get(first["status"], 0) + 1
                    self.assertEqual(outcome["left"], 0, outcome)
                    self.assertEqual(again["status"], "OK", outcome)
                    check(outcome)
        print(f"{self.id().rpartition('.')[2]}: {outcome['asked']} of {len(every)} allocations; {seen}", flush=True)
        self.assertLessEqual({"OK", "ERROR_MEMORY"}, set(seen) | {"OK"})

    def assert_clear(self, first, *others):
        self.assertIn(first["status"], ("OK", "ERROR_MEMORY", *others), first)
        if first["status"] != "OK":
            self.assertTrue(first.get("message") or first["status"] == "ERROR_MEMORY", first)

    # ---- the hub ----

    def fetch(self, url, identity, files):
        def check(outcome):
            self.assert_clear(outcome["first"])
            self.assertEqual(layout.breaches(self.cache), [])
            self.assertEqual(hubtest.files_below(outcome["again"]["text"]), files)
            shutil.rmtree(self.cache)

        self.start_driver("fetch", "--hub", url, "--repository", identity)
        self.each_allocation(check)

    def test_download(self):
        facts = self.hub.put_repository({"id": "acme/tiny", "files": {
            "config.json": "{}", "text/a.txt": "a\n", "model.bin": {"size": (1 << 20) + 70000, "seed": "memory"}}})
        self.good("snapshot", "acme/tiny", cache=os.path.join(self.home, "reference"), build=PLAIN)
        files = hubtest.files_below(os.path.join(self.folder_of("acme/tiny", os.path.join(self.home, "reference")), "snapshots", facts["sha"]))
        self.fetch(self.hub.url, "acme/tiny", files)

    def test_folder(self):
        files = {"config.json": b"{}", "text/a.txt": b"a\n"}
        for path, data in files.items():
            hubtest.write(os.path.join(self.home, "repositories", "acme", "tiny", path), data)
        self.fetch(f"file://{self.home}/repositories", "acme/tiny", files)

    # ---- jobs ----

    def recipe(self, given):
        return json.dumps({**given, "environment": {"MARKS": self.marks}})

    def starts(self, mark):
        path = os.path.join(self.marks, mark)
        return len(read(path)) if os.path.exists(path) else 0

    def check_jobs(self, outcome):
        """The list shows what there is; what is there has ended as it says, and nothing ran twice."""
        with library.Context(f"job.folder={self.jobs}") as context:
            try:
                self.judge_jobs(context, outcome)
            finally:
                for report in context.list():
                    job = context.open(report.id)
                    job.stop(force=True)
                    job.remove()
        self.assertEqual([name for name in os.listdir(self.jobs) if name.startswith(".")], [])

    def judge_jobs(self, context, outcome):
        reports = {report.id: report for report in context.list()}
        first = outcome["first"].get("job")
        self.assert_clear(outcome["first"], "ERROR_FAILED")
        others = set(reports) - {first, outcome["again"].get("job")}
        # A job with a key that nobody was told of waits for whoever submits it again.
        self.assertLessEqual(len(others), 1 if first is None and self.key.endswith("good") else 0, outcome)
        for identity in others:
            self.assertIn("ended before it was submitted", reports[identity].message)
        self.assertIn(outcome["again"]["job"], reports)
        self.assertEqual(self.starts(f"{self.key} again"), 1)
        self.assertLessEqual(self.starts(self.key), 1 if first else 0)
        # Without a key nobody could go on with what its caller gave up before it was submitted.
        if first and first not in reports:
            self.assertTrue(self.key.endswith("once") and outcome["first"]["status"] == "ERROR_MEMORY", outcome)
            self.assertEqual(self.starts(self.key), 0)
        elif first:
            job = context.open(first)
            if job.status().mode == library.SERVE:
                job.stop(force=True)
            report = job.end()
            self.assertIn(report.state, (library.SUCCEEDED, library.FAILED_STATE, library.CANCELLED_STATE), outcome)
            if report.state == library.FAILED_STATE:
                self.assertRegex(report.message, "out of memory|ended before it was submitted")
                self.assertEqual(self.starts(self.key), 0)

    def test_train(self):
        self.start_driver("train", "--recipe", self.recipe(TRAIN))
        self.each_allocation(self.check_jobs)

    def test_serve(self):
        self.start_driver("serve", "--recipe", self.recipe(SERVE))
        self.each_allocation(self.check_jobs)

    def test_chat(self):
        with Simulator("inference") as server:
            self.start_driver("chat", "--target", f"{server.url}/v1")
            self.each_allocation(lambda outcome: self.assert_clear(outcome["first"]))
            self.end_driver()


if __name__ == "__main__":
    suite.main()
