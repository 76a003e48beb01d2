"""Every call of the system that a download and a job's start make fails once, and from then on for good (calls.c): no crash, no
hang, a status and a message that say what happened, a cache that is whole, a job that was started or was not. The next run
without faults comes to its end, and asks for no byte again that was durable. Interrupted calls and short ones go unnoticed.

Every kind of failure is tried at calls that are chosen by chance, so that all of them have their turn in time: a few, with
TENON_THOROUGH=1 many.

    TENON_CALLS=N   at so many for each kind; all: at every one
    TENON_SEED=N    the seed of a run that failed
"""

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "hub"), os.path.join(HERE, "..", "job"), os.path.join(HERE, "..", "support")]

import hubtest
import layout
import library
import suite
from hubtest import OFFLINE, PLAIN, read

SHIM = os.path.join(PLAIN, "tests", "torture", "calls.so")
SUPERVISOR = os.path.join(PLAIN, "lib", "tenon-supervisor")
SEED = suite.seed()
THOROUGH = bool(os.environ.get("TENON_THOROUGH"))
KINDS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE", "ENOMEM", "EINTR", "SHORT")
UNNOTICED = ("EINTR", "SHORT")
FULL = ("ENOSPC", "EDQUOT")
PARTS = {"hub.part_bytes": 256 << 10, "hub.parts": 2}
PATIENCE = 2  # seconds for a supervisor that cannot say anything
# What a run that failed may leave until the next one has come to its end.
PASSING = ("no CACHEDIR.TAG", ".tmp is no listing", "is no link")


class Calls(hubtest.HubTest):
    build = PLAIN
    few, many = 2, 100

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"to do it again: TENON_SEED={SEED}", flush=True)

    def setUp(self):
        super().setUp()
        self.counter = os.path.join(self.home, "count")

    def faults(self, kind, number, good, program=None):
        """What makes a program's calls fail so."""
        with open(self.counter, "wb") as file:
            file.write(bytes(8))
        values = {"LD_PRELOAD": SHIM, "CALLS_KIND": kind, "CALLS_FAIL": str(number), "CALLS_COUNT": self.counter}
        values.update({"CALLS_FOR_GOOD": "1"} if good else {}, **({"CALLS_PROGRAM": program} if program else {}))
        return values

    def counted(self):
        return struct.unpack("q", read(self.counter))[0]

    def choose(self, every, kind):
        count = os.environ.get("TENON_CALLS") or (self.many if THOROUGH else self.few)
        most = len(every) if count == "all" else min(int(count), len(every))
        return random.Random(f"{SEED} {self.id()} {kind}").sample(every, most)

    def each_call(self, run, check):
        """run(kind, number, good) does it all with that fault, and check(kind, what run gave) has the rest to say."""
        for kind in KINDS:
            check(kind, run(kind, 0, False))
            every, seen = range(1, self.counted() + 1), {}
            chosen = self.choose(every, kind)
            for number in chosen:
                for good in (False, True):
                    with self.subTest(kind=kind, call=f"{number} of {len(every)}", good=good):
                        status = check(kind, run(kind, number, good))
                        seen[status] = seen.get(status, 0) + 1
            print(f"{self.id().rpartition('.')[2]}: {kind} at {len(chosen)} of {len(every)} calls: {seen}", flush=True)

    def assert_clear(self, kind, status, message, told):
        allowed = {"OK"} if kind in UNNOTICED else {"OK", "DISK_FULL"} if kind in FULL else {"OK", "IO", "MEMORY", "NETWORK"}
        self.assertIn(status, allowed, told)
        if status != "OK":
            self.assertTrue(message, told)


class Downloads(Calls):
    command = ("snapshot", "acme/calls")

    def setUp(self):
        super().setUp()
        self.facts = self.hub.put_repository({"id": "acme/calls", "files": {
            "config.json": "{}", "text/a.txt": "a\n", "model.bin": {"size": (1 << 20) + 300000, "seed": "calls"}}})["files"]

    def durable(self):
        """{etag: ranges} that need not be fetched any more."""
        found = {os.path.basename(path): [(0, os.path.getsize(path))] for path in hubtest.glob_files(self.cache, "blobs")
                 if layout.HASH.fullmatch(os.path.basename(path))}
        for journal in hubtest.journals(self.cache):
            if journal.durable and os.path.exists(os.path.join(os.path.dirname(journal.path), journal.data)):
                found.setdefault(re.match("[0-9a-f]+", os.path.basename(journal.path)).group(), []).extend(journal.durable)
        return found

    def assert_not_asked_again(self, here):
        for one in self.hub.requests(method="GET"):
            for first, end in here.get(one["etag"], ()) if one["etag"] else ():
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", one["range"] or f"bytes=0-{1 << 40}")
                self.assertFalse(int(asked[1]) < end and first <= int(asked[2]), f"{asked[0]} of {one['file']}, and {first}-{end} were here")

    def run_once(self, kind, number, good):
        shutil.rmtree(self.cache, ignore_errors=True)
        return self.run_driver(*self.command, settings=PARTS, environment=self.faults(kind, number, good))

    def check(self, kind, outcome):
        self.assert_clear(kind, outcome.status, outcome.error.get("message") and outcome.error["hint"] is not None, str(outcome))
        self.assertEqual([one for one in layout.breaches(self.cache) if not one.endswith(PASSING)], [])
        here = self.durable()
        self.hub.clear_requests()
        again = self.good(*self.command, settings=PARTS)
        self.assert_not_asked_again(here)
        # Where no link can be made a file takes its place; what was being written under another name goes when it is old.
        self.assertEqual([one for one in layout.breaches(self.cache) if not one.endswith((".tmp is no listing", "is no link"))], [])
        for path, facts in self.facts.items():
            self.assert_is(os.path.join(again.text, path), facts)
        return outcome.status

    def test_snapshot(self):
        self.each_call(self.run_once, self.check)


class DownloadsOnWorkers(Downloads):
    """The same where other threads hash and write: which call is the Nth is a matter of luck then."""

    workers = 2
    many = 30


class Jobs(Calls):
    """A job's start, as far as it is the library's and as far as it is the supervisor's."""

    many = 20  # a supervisor that cannot say anything is waited for

    @classmethod
    def setUpClass(cls):
        cls.set_up_scratch()
        print(f"to do it again: TENON_SEED={SEED}", flush=True)

    def setUp(self):
        self.home = hubtest.tempfile.mkdtemp(dir=self.scratch)
        self.jobs, self.counter = os.path.join(self.home, "jobs"), os.path.join(self.home, "count")
        self.marks = {}

    def tearDown(self):
        """What was said of a job is true later, too."""
        for self.mark, starts in self.marks.items():
            self.assertEqual(self.starts(), starts, self.mark)

    def begin(self, kind, number, good):
        """No jobs, and a file of its own in which the next one notes its starts."""
        shutil.rmtree(self.jobs, ignore_errors=True)
        self.mark = os.path.join(self.home, f"mark-{kind}-{number}-{good}")

    def recipe(self, **more):
        return json.dumps({"command": ["sh", "-c", f'printf x >> "{self.mark}"'], "environment": more})

    def starts(self):
        return len(read(self.mark)) if os.path.exists(self.mark) else 0

    def end_of(self, context, identity):
        """The last report of a job, whoever must be brought to see to it."""
        report = context.open(identity).end()
        self.assertIn(report.state, (library.SUCCEEDED, library.FAILED_STATE), report.message)
        self.assertTrue(report.state == library.SUCCEEDED or (report.message and report.hint), report.message)
        self.marks[self.mark] = self.starts()
        self.assertEqual(self.starts(), 1 if report.state == library.SUCCEEDED else min(self.starts(), 1))
        return report

    # ---- in the library ----

    def submit(self, kind, number, good):
        self.begin(kind, number, good)
        command = [os.path.join(PLAIN, "tests", "torture", "driver"), "--set", f"job.folder={self.jobs}", "--recipe", self.recipe(), "train"]
        done = subprocess.run(command, input="0 only key\n", env=self.environment(**self.faults(kind, number, good, "driver")),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=200)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)["first"]

    def check_submission(self, kind, first):
        """The list knows what was told, and with the same key it is the same job, which has run once at most."""
        status = first["status"].removeprefix("ERROR_")
        self.assert_clear(kind, status if status != "FAILED" or kind in UNNOTICED else "OK", first.get("message"), first)
        with library.Context(f"job.folder={self.jobs}") as context:
            reports = {report.id: self.end_of(context, report.id) for report in context.list()}
            self.assertLessEqual(len(reports), 1, first)
            if "job" in first:
                self.assertIn(first["job"], reports)
            if status == "OK":
                self.assertEqual(reports[first["job"]].state, library.SUCCEEDED)
        if status == "OK":
            self.assertEqual(self.starts(), 1)
        return status

    def test_submission(self):
        self.each_call(self.submit, self.check_submission)

    # ---- in its supervisor ----

    def supervise(self, kind, number, good):
        """A job under a supervisor and a keeper with faults; (what was told when it was submitted, its id)."""
        self.begin(kind, number, good)
        shim = os.path.join(self.home, "supervisor")
        faults = self.faults(kind, number, good, "tenon-supervisor")
        hubtest.write(shim, "#!/bin/sh\n" + " ".join(f"{name}='{value}'" for name, value in faults.items()) + f" exec {SUPERVISOR} \"$@\"\n")
        os.chmod(shim, 0o755)
        with library.Context(f"job.folder={self.jobs}", f"job.supervisor={shim}") as context:
            job = context.submit(recipe=self.recipe(**faults), key="key")
            end = time.monotonic() + PATIENCE
            while job.status().state < library.SUCCEEDED and time.monotonic() < end:
                context.step(20)
            return job.id

    def check_supervised(self, kind, identity):
        with library.Context(f"job.folder={self.jobs}") as context:
            self.assertEqual([report.id for report in context.list()], [identity])
            report = self.end_of(context, identity)
        if kind in UNNOTICED:
            self.assertEqual((report.state, self.starts()), (library.SUCCEEDED, 1), report.message)
        return library.CAUSES[report.cause]

    def test_supervisor(self):
        self.each_call(self.supervise, self.check_supervised)


if __name__ == "__main__":
    suite.main()
