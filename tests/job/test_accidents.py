"""Jobs whose callers and supervisors are killed at any moment, whose disk is full, whose input is nonsense: none is lost, none
is started twice, nothing half-written stays, and what is said tells what to do.

    TENON_KILLS=10000   how many callers and how many supervisors are killed (80 of each; 200 in the second tier); half as many
                        folders are removed
    TENON_SEED=N        the seed of a run that failed
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import library  # noqa: E402
import suite  # noqa: E402
from library import TenonError  # noqa: E402
from test_job import PYTHON, JobTest, is_alive, processes_with, recipe, until  # noqa: E402

BUILD = os.environ.get("TENON_BUILD", "")
SUPERVISOR = os.path.join(BUILD, "lib", "tenon-supervisor")
FAULTS = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), os.path.join(BUILD, "tests", "hub", "faults.so")]))
KILLS = suite.number("TENON_KILLS", 80, 200)
SEED = suite.seed()
HALF = -(-KILLS // 2)  # two tests share them
AT_ONCE = 10
ROOMS = (0, 1, 50, 200, 400, 700, 1000, 1300, 1700, 2500, 5000, 132000, 140000)

# Submits what it is told to, says what became of it, and waits for the end.
CALLER = """
import json, sys
sys.path.insert(0, %r)
import library
settings, options = json.loads(sys.argv[1])
context = library.Context(*settings)
print("ready", flush=True)
sys.stdin.readline()
try:
    job = context.submit(**options)
    print(json.dumps({"id": job.id}), flush=True)
    report = job.end()
    print(json.dumps({"id": job.id, "state": report.state, "cause": library.CAUSES[report.cause], "message": report.message,
                      "hint": report.hint}), flush=True)
except library.TenonError as error:
    print(json.dumps({"status": error.status, "message": error.message, "hint": error.hint}), flush=True)
""" % HERE


def kill(pid):
    """Whether it was met alive."""
    try:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
            return True
    except ProcessLookupError:
        pass
    return False


class Accidents(JobTest):
    def call(self, *settings, environment=(), **options):
        """A caller of its own that waits for the word."""
        told = json.dumps([[f"job.folder={self.jobs}", *settings], options])
        return subprocess.Popen([PYTHON, "-c", CALLER, told], env={**os.environ, **dict(environment)}, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)

    @staticmethod
    def go(caller):
        assert caller.stdout.readline() == "ready\n"
        caller.stdin.write("go\n")
        caller.stdin.flush()

    def marker(self, name):
        """A recipe that notes each of its starts, and the file it does so in."""
        mark = os.path.join(self.scratch, f"starts-{name}")
        return mark, recipe("sh", "-c", f"echo x >> {mark}; sleep 0.05; exit 0")

    def assert_started(self, mark, times=1):
        found = 0
        if os.path.exists(mark):
            with open(mark, encoding="utf-8") as file:
                found = len(file.read().split())
        self.assertEqual(found, times)

    def ids(self):
        with self.open_context() as context:
            return [report.id for report in context.list()]


class Kills(Accidents):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"{KILLS} kills of callers and of supervisors; to do it again: TENON_SEED={SEED}", flush=True)

    def chance(self):
        return random.Random(f"{SEED} {self.id()}")

    def kill_caller(self, chance, **options):
        """Kills a caller where it submits, or, more seldom, where it already waits for the end; what it still said."""
        caller = self.call(**options)
        self.go(caller)
        time.sleep(chance.uniform(0, 0.03 if chance.random() < 0.8 else 0.2))
        caller.kill()
        return [json.loads(line) for line in caller.communicate()[0].splitlines()]

    def test_caller_killed_at_random_moments(self):
        """With a key: whoever submits again finds the job, wherever the first caller was killed."""
        chance, seen, known = self.chance(), set(), 0
        for number in range(HALF):
            mark, given = self.marker(number)
            said = self.kill_caller(chance, recipe=given, key=f"key {number}")
            made = set(self.ids()) - seen
            self.assertLessEqual(len(made), 1)
            with self.open_context() as context:
                job = context.submit(recipe=given, key=f"key {number}")
                self.assertIn(made, (set(), {job.id}))
                if said:
                    self.assertEqual(job.id, said[0]["id"])
                job.wait()
            self.assert_started(mark)
            known += bool(made)
            seen.add(job.id)
            self.assertEqual(set(self.ids()), seen)
        print(f"\n{known} of {HALF} killed callers had made their job", end=" ")

    def test_caller_killed_without_a_key(self):
        """What it submitted runs once, to its end; what it did not get to submit is told as such, or is not there at all."""
        chance, ends = self.chance(), []
        for number in range(HALF):
            mark, given = self.marker(number)
            before = set(self.ids())
            said = self.kill_caller(chance, recipe=given)
            made = set(self.ids()) - before
            self.assertLessEqual(len(made), 1)
            self.assertTrue({one["id"] for one in said} <= made, "a job that its caller was told is gone")
            report = self.context.open(made.pop()).end() if made else None
            if report is not None and report.state == library.SUCCEEDED:
                ends.append("ended well")
                self.assert_started(mark)
            else:
                ends.append("not submitted" if report is not None else "not made")
                self.assert_started(mark, 0)
                if report is not None:
                    self.assert_failed(report, "lost", "before it was submitted")
                    self.assertIn("Submit it again", report.hint)
        self.assertEqual([name for name in os.listdir(self.jobs) if name.startswith(".")], self.hidden())
        print(f"\n{ {end: ends.count(end) for end in sorted(set(ends))} }", end=" ")

    def hidden(self):
        """Folders under way whose callers were killed; nobody is shown them."""
        return [name for name in os.listdir(self.jobs) if name.startswith(".") and len(name) == 13]

    def kill_at_random(self, chance, count, names):
        """Starts jobs, and kills those that watch over each a moment after its supervisor is there; how many it still met alive."""
        marks = [self.marker(f"{chance.random()}") for _ in range(count)]
        met = 0
        with self.open_context() as context:
            jobs = [context.submit(recipe=given) for _, given in marks]
            moments = [None] * count
            while any(moment != 0 for moment in moments):
                context.step(1)
                for i, job in enumerate(jobs):
                    state = self.state(job) if moments[i] != 0 else {}
                    if moments[i] is None and state.get("supervisor"):
                        moments[i] = time.monotonic() + chance.uniform(0, 0.1)
                    elif moments[i] and time.monotonic() >= moments[i]:
                        moments[i] = 0
                        met += any([kill(state.get(name, {}).get("id", 0)) for name in names])
        with self.open_context() as other:
            return [(mark, other.open(job.id).end()) for (mark, _), job in zip(marks, jobs)], met

    def kill_many(self, names):
        """Again and again, until half of the kills have met somebody alive: what became of each job, in turn."""
        chance, met, rounds = self.chance(), 0, 0
        while met < HALF:
            ends, some = self.kill_at_random(chance, AT_ONCE, names)
            met, rounds = met + some, rounds + 1
            self.assertGreater(some + rounds, 1, "nobody is ever met alive")
            yield from ends
        print(f"\n{met} killed in {rounds * AT_ONCE} jobs", end=" ")

    def test_supervisor_killed_at_random_moments(self):
        """Soon after its start; whoever looks next brings another."""
        for mark, report in self.kill_many(["supervisor"]):
            self.assertEqual((report.state, report.exit_code), (library.SUCCEEDED, 0), report.message)
            self.assert_started(mark)

    def test_keeper_and_supervisor_killed_at_random_moments(self):
        """Nobody sees how the program ends then; that is said, and it was not started twice."""
        ends = []
        for mark, report in self.kill_many(["keeper", "supervisor"]):
            ends.append(library.CAUSES[report.cause])
            if report.state != library.SUCCEEDED:
                self.assert_failed(report, "lost")
                self.assertTrue(report.hint)
            with open(mark, "a+", encoding="utf-8") as file:
                file.seek(0)
                self.assertLessEqual(len(file.read().split()), 1)
        print(f"{ends.count('none')} ended well, {ends.count('lost')} are told to be lost", end=" ")

    def remove(self, job):
        """Removes its folder as often as somebody was just writing there."""
        def is_gone():
            shutil.rmtree(self.folder(job), ignore_errors=True)
            return not os.path.exists(self.folder(job))
        until(is_gone, "the end of its folder")

    def test_folder_removed_at_random_moments(self):
        """Wherever the start is, nothing runs on, and nobody makes the folder anew."""
        chance, started = self.chance(), 0
        for number in range(HALF):
            mark, _ = self.marker(number)
            with self.open_context() as context:
                job = context.submit(recipe=recipe("sh", "-c", f"echo x >> {mark}; exec sleep 1000"))
                end = time.monotonic() + chance.uniform(0, 0.04)
                while time.monotonic() < end:
                    context.step(1)
                self.remove(job)
            started += os.path.exists(mark)
        until(lambda: not processes_with(self.scratch), "the end of all processes")
        self.assertEqual(os.listdir(self.jobs), [])
        print(f"\n{started} of {HALF} had begun", end=" ")


class FullDisk(Accidents):
    def outcome(self, caller):
        self.go(caller)
        said = [json.loads(line) for line in caller.communicate()[0].splitlines()]
        self.assertEqual(caller.returncode, 0)
        return said[-1]

    def test_while_it_is_submitted(self):
        """After each number of bytes once: the caller is told, nothing is left of a job that it was not given."""
        seen = set()
        for room in ROOMS:
            with self.subTest(room=room):
                mark, given = self.marker(room)
                before = set(self.ids())
                last = self.outcome(self.call(recipe=given, environment=(("LD_PRELOAD", FAULTS), ("FAULTS_ROOM", str(room)))))
                made = set(self.ids()) - before
                if "status" in last:
                    seen.add("refused")
                    self.assertEqual(last["status"], DISK_FULL, last)
                    self.assertEqual(made, set())
                    self.assert_started(mark, 0)
                elif last["state"] == library.FAILED_STATE:
                    seen.add("failed")
                    self.assertEqual(last["cause"], "disk", last)
                    self.assert_started(mark, 0)
                else:
                    seen.add("succeeded")
                    self.assert_started(mark)
                self.assertTrue(last.get("hint") or last.get("state") == library.SUCCEEDED, last)
                self.assertEqual([name for name in os.listdir(self.jobs) if name.startswith(".")], [])
        self.assertEqual(seen, {"refused", "failed", "succeeded"})

    def test_under_its_supervisor(self):
        """Whatever still fits, the job ends in a state that says what happened, and is started at most once."""
        shim = os.path.join(self.scratch, "supervisor")
        causes = set()
        for room in ROOMS:
            with self.subTest(room=room):
                with open(shim, "w", encoding="utf-8") as file:
                    file.write(f"#!/bin/sh\nLD_PRELOAD='{FAULTS}' FAULTS_ROOM={room} exec {SUPERVISOR} \"$@\"\n")
                os.chmod(shim, 0o755)
                mark, given = self.marker(room)
                with self.open_context(f"job.supervisor={shim}") as context:
                    job = context.submit(recipe=given)
                    end = time.monotonic() + 20
                    while time.monotonic() < end and job.status().state < library.SUCCEEDED:
                        context.step(20)
                    report = job.status()
                causes.add(library.CAUSES[report.cause])
                if report.state < library.SUCCEEDED:
                    # Not even its last words fitted; with room again whoever looks learns how it ended.
                    causes.add("later")
                    with self.open_context() as other:
                        report = other.open(job.id).end()
                if report.state == library.FAILED_STATE:
                    self.assertEqual(library.CAUSES[report.cause], "disk", report.message)
                    self.assertIn("full", report.message)
                    self.assertTrue(report.hint)
                    self.assert_started(mark, 0)
                else:
                    self.assertEqual(report.state, library.SUCCEEDED, report.message)
                    self.assert_started(mark)
        print(f"\nfull disk under a supervisor: {sorted(causes)}")

    def test_under_the_program(self):
        report = self.train(recipe("sh", "-c", "echo 'write error: No space left on device'; exit 1")).end()
        self.assert_failed(report, "disk", "No space left")
        self.assertIn("space", report.hint)


class Nonsense(Accidents):
    def refuse(self, status, words, **options):
        error = self.assert_refused(status, words, self.context.submit, **options)
        self.assertTrue(error.hint, error.message)
        self.assertFalse(os.path.exists(self.jobs) and os.listdir(self.jobs), "something was left behind")

    def test_recipes(self):
        many = json.dumps({"command": ["x"] * 300000})
        for text, words in (
                ('{"command": ["x"], "colour": 1}', 'unknown field "colour"'), ('{"command": ["x"], "command": ["y"]}', "duplicate"),
                ("{" + '"a": {' * 100000, "levels deep"), ('{"command": ["x"' + "[" * 1000, "levels deep"), ("{", "not valid JSON"),
                ('{"command": ["x", null]}', '"command" is not a list'), ('{"command": ["\\u0000"]}', "not valid JSON"),
                ('{"command": [["x"]]}', '"command" is not a list'), ('{"command": ["x"], "port": 1e9}', '"port" is not a port'),
                ('{"command": ["x"], "resources": {"memory_bytes": -1}}', "above 0"),
                ('{"command": ["x"], "resources": {"memory_bytes": 1e400}}', "not valid JSON"),
                ('{"command": ["x"], "resources": {"cpus": 1e99}}', "above 0"),
                ('{"command": ["x"], "environment": {"A=B": "c"}}', '"environment" is not'),
                ('{"command": ["x"], "outputs": ["/etc/passwd"]}', '"outputs" is not'), ('{"command": ["x"], "health": "http://evil/"}', '"health" is not'),
                (many, "larger than 1 MiB"), ('{"command": ["x"], "image": 7}', '"image" is not')):
            with self.subTest(text[:60]):
                self.refuse(library.ARGUMENT, words, recipe=text)
        self.refuse(library.ARGUMENT, "not valid JSON", recipe=b'{"command": ["\xff"]}')

    def test_recipe_files(self):
        path = os.path.join(self.scratch, "recipe.json")
        for content, words in ((b"", "not valid JSON"), (b"\0" * 1000, "not valid JSON"), (os.urandom(5000), "not valid JSON"), (b"[]", "not a JSON object"),
                               (b"{}" + b" " * (2 << 20), "larger than"), (b'{"command": ["x"]} trailing', "not valid JSON"),
                               (b'\xef\xbb\xbf{"command": 7}', "not valid JSON")):
            with self.subTest(content[:20]):
                with open(path, "wb") as file:
                    file.write(content)
                self.refuse(library.ARGUMENT, words, recipe=path)
        with self.assertRaises(TenonError) as caught:
            self.context.submit(recipe=self.scratch)
        self.assertIn(self.scratch, caught.exception.message)

    def test_jobs_folder_that_cannot_be_written(self):
        with library.Context("job.folder=/proc/self/jobs") as context:
            error = self.assert_refused(IO, "/proc/self", context.submit, recipe=recipe("sh"))
        self.assertTrue(error.hint)
        caller = self.call(recipe=recipe("sh"), environment=(("LD_PRELOAD", FAULTS), ("FAULTS_READ_ONLY", self.scratch)))
        self.go(caller)
        last = json.loads(caller.communicate()[0].splitlines()[-1])
        self.assertEqual(last["status"], IO, last)
        self.assertIn(self.jobs, last["message"])
        self.assertTrue(last["hint"])
        self.assertFalse(os.path.exists(self.jobs))

    def test_programs_that_die_at_once(self):
        for given, cause in ((recipe("/nonexistent/program"), "program"), (recipe("false"), "user code"), (recipe("sh", "-c", "kill -9 $$$$"), "signal")):
            reports = [job.end() for job in [self.train(given) for _ in range(10)]]
            for report in reports:
                self.assert_failed(report, cause)
                self.assertTrue(report.hint)
                self.assertEqual(report.process, 0)


DISK_FULL, IO = -22, -23

if __name__ == "__main__":
    suite.main()
