"""The power goes at any moment of a download, of publishing and of a job; then everything is as whole as it was promised.

A run is recorded (record.c), and disk.py makes of the record what the disk holds when the power goes after its Nth change:
what was not made durable is there, is not, or is there in part. The next run must come to a right end on every such disk, and
no journal may count bytes that are not there. Every moment is tried with each of the cuts in `disk.kinds`; without
TENON_THOROUGH=1 with a sample of the moments only.

    TENON_SEED=N   the seed of a run that failed
"""

import fcntl
import json
import os
import random
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "hub"), os.path.join(HERE, "..", "job"), os.path.join(HERE, "..", "support")]

import disk
import hubtest
import layout
import library
import suite
from hubtest import OFFLINE, PLAIN, read

SUPERVISOR = os.path.join(PLAIN, "lib", "tenon-supervisor")
RECORDER = os.path.join(PLAIN, "tests", "torture", "record.so")
SEED = suite.seed()
MOMENTS = None if os.environ.get("TENON_THOROUGH") else 6  # of a record; None: all
PARTS = {"hub.part_bytes": 256 << 10, "hub.parts": 4}


def moments(record, most=MOMENTS):
    """After how many changes the power goes: always the last one; the others by chance where not all are tried."""
    every = range(len(record) + 1)
    if most is None or len(every) <= most:
        return set(every)
    return {len(record), *random.Random(f"{SEED} moments").sample(every, most - 1)}


class Power(hubtest.HubTest):
    """One folder is the disk; a run that is recorded changes it, and the next one finds what is left."""

    build = PLAIN

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"to do it again: TENON_SEED={SEED}", flush=True)

    def set_up_disk(self):
        self.disk, self.record = os.path.join(self.home, "disk"), os.path.join(self.home, "record")
        os.mkdir(self.disk)

    def recorded(self):
        """What makes a run write down what it changes on the disk."""
        return {"LD_PRELOAD": RECORDER, "RECORD": self.record, "BELOW": self.disk}

    def each_cut(self, before, check):
        """Makes the disk what is left after each cut; check(after how many changes) has the rest to say."""
        changes = disk.read_record(self.record)
        chosen = moments(changes)
        for done in range(len(changes) + 1):
            for cut in disk.kinds(f"{SEED} {done}") if done in chosen else ():
                with self.subTest(after=f"{done} of {len(changes)}", change=changes[done - 1][0] if done else None, cut=cut):
                    before.write_after(cut)
                    check(done)
            if done < len(changes):
                before.apply(*changes[done])


class Downloads(Power):
    files = {"config.json": '{"of": "power"}', "model.bin": {"size": 1500000, "seed": "power"}}

    def setUp(self):
        super().setUp()
        self.set_up_disk()
        self.cache = os.path.join(self.disk, "hub")
        self.facts = self.hub.put_repository({"id": "acme/power", "files": self.files})["files"]
        self.good("snapshot", "acme/power", cache=os.path.join(self.home, "reference"))
        self.content = {facts["etag"]: read(os.path.join(self.folder_of("acme/power", os.path.join(self.home, "reference")), "blobs", facts["etag"]))
                        for facts in self.facts.values()}

    def check_journals(self):
        """What a journal counts is there, and right."""
        for journal in hubtest.journals(self.disk):
            etag = re.search(r"([0-9a-f]{40,64})\.j\d+\.tenon", journal.path).group(1)
            path = os.path.join(os.path.dirname(journal.path), journal.data)
            data = read(path) if os.path.exists(path) else None
            for first, end in journal.durable if data is not None else ():
                self.assertEqual(data[first:end], self.content[etag][first:end], f"{first}-{end} is durable and wrong")

    def go_through(self, command, check):
        before = disk.Disk(self.disk)
        self.good(*command, settings=PARTS, environment=self.recorded())

        def look_and_go_on(_):
            self.check_journals()
            self.assertEqual([one for one in layout.breaches(self.cache) if "CORRUPT" in one], [])
            check(self.good(*command, settings=PARTS))

        self.each_cut(before, look_and_go_on)

    def check_cache(self, outcome):
        # What was being written under another name goes when it is old.
        self.assertEqual([one for one in layout.breaches(self.cache) if not one.endswith(".tmp is no listing")], [])
        self.good("verify", "acme/power")
        self.good("download", "acme/power", "model.bin", "--policy", OFFLINE)
        self.assertTrue(outcome.text)

    def test_file_in_parts(self):
        self.go_through(["download", "acme/power", "model.bin"], self.check_cache)

    def test_repository(self):
        def check(outcome):
            self.check_cache(outcome)
            self.assertEqual(hubtest.files_below(outcome.text), {path: self.content[facts["etag"]] for path, facts in self.facts.items()})

        self.go_through(["snapshot", "acme/power"], check)

    def test_into_a_folder(self):
        folder = os.path.join(self.disk, "folder")

        def check(outcome):
            self.assertEqual(hubtest.files_below(folder), {path: self.content[facts["etag"]] for path, facts in self.facts.items()})

        self.go_through(["snapshot", "acme/power", "--folder", folder], check)


class Publishing(Power):
    """A file: hub. A commit is there whole or not at all, and for good once its caller has been told of it."""

    first = {"config.json": b"{}\n", "weights/a.bin": b"a" * 40000, "weights/b.bin": b"b" * 3000}
    second = {"config.json": b'{"a": 1}\n', "weights/a.bin": b"A" * 50000, "README.md": b"# Power\n"}

    @classmethod
    def setUpClass(cls):
        cls.set_up_scratch()

    def setUp(self):
        self.home = hubtest.tempfile.mkdtemp(dir=self.scratch)
        self.cache = os.path.join(self.home, "hub")
        self.set_up_disk()
        self.place, self.work = os.path.join(self.disk, "repositories"), os.path.join(self.home, "work")
        os.mkdir(self.place)

    def tearDown(self):
        pass

    def publish(self, files, **more):
        shutil.rmtree(self.work, ignore_errors=True)
        for path, data in files.items():
            hubtest.write(os.path.join(self.work, path), data)
        return self.good("publish", "acme/power", "--folder", self.work, hub=f"file://{self.place}", environment=more).text

    def contents(self):
        shutil.rmtree(self.cache, ignore_errors=True)
        outcome = self.run_driver("snapshot", "acme/power", hub=f"file://{self.place}")
        if outcome.status == "NOT_FOUND":
            return {}
        self.assertEqual(outcome.status, "OK", str(outcome))
        self.good("verify", "acme/power", hub=f"file://{self.place}")
        return hubtest.files_below(outcome.text)

    def go_through(self, old):
        new = {**old, **self.second}
        before = disk.Disk(self.disk)
        self.publish(self.second, **self.recorded())

        last = len(disk.read_record(self.record))

        def look_and_go_on(done):
            self.assertIn(self.contents(), [new] if done == last else [old, new])
            self.publish(self.second)
            self.assertEqual(self.contents(), new)
            plain = hubtest.files_below(os.path.join(self.place, "acme", "power"), without=(".tenon",))
            self.assertEqual(plain, new)

        self.each_cut(before, look_and_go_on)

    def test_first_commit(self):
        self.go_through({})

    def test_next_commit(self):
        self.publish(self.first)
        self.go_through(self.first)


class Jobs(Power):
    """A job on this machine: whoever was told of it finds it again, and what ran does not run once more."""

    command = ["sh", "-c", 'echo started; printf x >> "$$MARKS/mark"']

    @classmethod
    def setUpClass(cls):
        cls.set_up_scratch()

    def setUp(self):
        self.home = hubtest.tempfile.mkdtemp(dir=self.scratch)
        self.set_up_disk()
        self.jobs = os.path.join(self.disk, "state", "jobs")

    def tearDown(self):
        pass

    def submit(self, supervisor=SUPERVISOR, **more):
        """Submits the job with its key and waits for its end; what the driver says of it."""
        given = json.dumps({"command": self.command, "environment": {"MARKS": self.home, **self.recorded()}})
        command = [os.path.join(PLAIN, "tests", "torture", "driver"), "--set", f"job.folder={self.jobs}",
                   "--set", f"job.supervisor={supervisor}", "--recipe", given, "train"]
        done = subprocess.run(command, input="0 only key\n", env=self.environment(**more), stdout=subprocess.PIPE, text=True, check=True, timeout=120)
        return json.loads(done.stdout)["first"]

    def recorded_supervisor(self):
        """A supervisor inherits little; what it starts gets the job's environment."""
        path = os.path.join(self.home, "supervisor")
        words = " ".join(f"{name}='{value}'" for name, value in self.recorded().items())
        hubtest.write(path, f"#!/bin/sh\n{words} exec {SUPERVISOR} \"$@\"\n")
        os.chmod(path, 0o755)
        return path

    def wait_for_supervisor(self):
        """It holds the lock until everything is durable; then it changes nothing any more."""
        for name in os.listdir(self.jobs):
            path = os.path.join(self.jobs, name, "lock")
            if os.path.exists(path):
                with open(path, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)

    def starts(self):
        path = os.path.join(self.home, "mark")
        return len(read(path)) if os.path.exists(path) else 0

    def restart_machine(self):
        """Ids of processes mean nothing any more."""
        for name in os.listdir(self.jobs) if os.path.isdir(self.jobs) else []:
            path = os.path.join(self.jobs, name, "state.json")
            if os.path.exists(path) and os.path.getsize(path) and b'"world"' in read(path):
                state = json.loads(read(path))
                hubtest.write(path, json.dumps({**state, "world": "before the power cut"}))

    def test_job(self):
        before = disk.Disk(self.disk)
        self.assertEqual(self.submit(self.recorded_supervisor(), **self.recorded())["status"], "OK")
        self.wait_for_supervisor()
        changes = disk.read_record(self.record)
        said = {words[1]: number for number, (words, _) in enumerate(changes) if words[0] == "said"}
        started = next(number for number, (words, data) in enumerate(changes) if words[0] == "write" and data == b"started\n")

        def look_and_go_on(done):
            ran = self.starts()
            self.restart_machine()
            with library.Context(f"job.folder={self.jobs}") as context:
                reports = {report.id: context.open(report.id).end() for report in context.list()}
                self.assertLessEqual(len(reports), 1)
                self.assertEqual(len(reports), 1 if done > said["job"] else len(reports))
                for report in reports.values():
                    if report.state != library.SUCCEEDED:
                        self.assertEqual((report.state, library.CAUSES[report.cause]), (library.FAILED_STATE, "lost"), report.message)
                        self.assertLess(done, len(changes))
                        self.assertTrue(report.hint)
            outcome = self.submit()
            if done > said["job"]:
                self.assertIn(outcome["job"], reports)
            self.assertIn(outcome["status"], ("OK", "ERROR_FAILED"), outcome)
            self.assertLessEqual(self.starts() - ran, 0 if done > started else 1)
            if not reports:
                self.assertEqual((outcome["status"], self.starts() - ran), ("OK", 1), outcome)
            self.wait_for_supervisor()

        self.each_cut(before, look_and_go_on)


if __name__ == "__main__":
    suite.main()
