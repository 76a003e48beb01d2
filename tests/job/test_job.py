"""Jobs on this machine, through the shared library: their life, and everything that can go wrong with it."""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import library  # noqa: E402
import suite  # noqa: E402
from library import Context, Task, TenonError  # noqa: E402

PYTHON = sys.executable
TRAIN, SERVE = os.path.join(HERE, "train.py"), os.path.join(HERE, "serve.py")


def recipe(*command, **fields):
    return json.dumps({"command": list(command), **fields})


def python(program, **fields):
    return recipe(PYTHON, "-c", program, **fields)


def until(condition, what, seconds=60):
    """Waits for something that has no event to wait for, and fails only when it has long become hopeless."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never happened: {what}")
        time.sleep(0.01)


def processes_with(words):
    """Ids of processes whose command line or environment has the words, without those that only wait to be reaped."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    content = file.read()
                with open(f"/proc/{name}/environ", "rb") as file:
                    content += b"\0" + file.read()
            except OSError:
                continue
            if words.encode() in content:
                found.append(int(name))
    return found


def command_lines():
    """What every process list shows."""
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{int(name)}/cmdline", encoding="utf-8", errors="replace") as file:
                yield file.read()
        except (OSError, ValueError):
            pass


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class JobTest(unittest.TestCase):
    settings = ()

    def setUp(self):
        self.scratch = tempfile.mkdtemp(prefix="tenon-job-", dir=os.environ.get("TENON_TMP"))
        self.jobs = os.path.join(self.scratch, "jobs")
        self.context = self.open_context()
        self.addCleanup(self.check_nothing_left)
        self.addCleanup(self.end_all)

    def open_context(self, *more):
        return Context(f"job.folder={self.jobs}", *self.settings, *more)

    def end_all(self):
        """Whatever a test left running, for instance because it failed."""
        self.context.close()
        with self.open_context() as context:
            for report in context.list(alive=1):
                context.open(report.id).stop(force=True)

    def check_nothing_left(self):
        """No process of any job, its supervisor or its keeper stays behind."""
        until(lambda: not processes_with(self.scratch), "the end of all processes", 30)
        subprocess.run(["rm", "-rf", self.scratch], check=True)

    def train(self, given, **options):
        return self.context.submit(recipe=given, **options)

    def running(self, program):
        """A job whose program has printed its first line."""
        job = self.train(program if program.startswith("{") else python(program))
        with job.logs(follow=True) as logs:
            self.first = logs.next().text
        return job

    def serve(self, environment=(), context=None, port=0, **options):
        fields = {"port": port} if port is not None else {}
        return (context or self.context).submit(serve=True, recipe=recipe(PYTHON, SERVE, **fields), environment=environment, **options)

    def folder(self, job):
        return os.path.join(self.jobs, job.id.partition(":")[2])

    def state(self, job):
        try:
            with open(os.path.join(self.folder(job), "state.json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def supervisor(self, job):
        return self.state(job).get("supervisor", {}).get("id", 0)

    def assert_failed(self, report, cause, *words):
        self.assertEqual((report.state, library.CAUSES[report.cause]), (library.FAILED_STATE, cause), report.message)
        for word in words:
            self.assertIn(word, report.message)

    def assert_refused(self, status, words, function, *arguments, **options):
        with self.assertRaises(TenonError) as caught:
            function(*arguments, **options)
        self.assertEqual(caught.exception.status, status, caught.exception)
        self.assertIn(words, caught.exception.message)
        return caught.exception

    def starts(self):
        path = os.path.join(self.scratch, "starts")
        return os.path.getsize(path) if os.path.exists(path) else 0

    def count_starts(self):
        return "STARTS=" + os.path.join(self.scratch, "starts")


class Life(JobTest):
    def test_training_from_begin_to_end(self):
        job = self.train(recipe(PYTHON, TRAIN), model=self.scratch, name="first", labels=["team=a"], threads=3)
        self.assertRegex(job.id, r"^local:[0-9a-f]{12}$")
        first = job.status()
        self.assertEqual((first.state, first.name, first.mode), (library.SUBMITTING, "first", library.TRAIN))
        with job.watch() as watch:
            seen = [report.state for report in watch]
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-1], library.SUCCEEDED)
        last = job.status()
        self.assertEqual((last.exit_code, last.signal, last.cause, last.process), (0, 0, 0, 0))
        self.assertTrue(0 < last.submitted_ms <= last.started_ms <= last.ended_ms)
        self.assertGreater(last.peak_memory_bytes, 1 << 20)
        self.assertEqual(last.accelerator, "local:cpu")
        self.assertEqual(job.lines()[0], "training " + self.scratch)
        files, folder = job.outputs()
        self.assertEqual([(file.path, file.bytes, file.local_path) for file in files], [("model.bin", 1000, folder + "/model.bin")])
        self.assertEqual(job.wait(), "")

    def test_contract_environment(self):
        data = os.path.join(self.scratch, "data.txt")
        with open(data, "w", encoding="utf-8") as file:
            file.write("data")
        fields = {"environment": {"FIRST": "$(TENON_MODE) $$", "SECOND": "<$(FIRST)>", "BOTH": "recipe"}, "inputs": {"more": data}}
        program = "import json, os; print(json.dumps(dict(os.environ)))"
        output = os.path.join(self.scratch, "kept")
        os.environ["HF_TOKEN"] = "hf_secret_of_the_host"
        os.environ["SOME_SECRET"] = "another"
        self.addCleanup(os.environ.pop, "HF_TOKEN")
        self.addCleanup(os.environ.pop, "SOME_SECRET")
        with self.open_context() as context:
            job = context.submit(recipe=python(program, **fields), model=self.scratch, data=data, output=output, threads=2,
                                 environment=["BOTH=caller", "RAW=$(X)"])
            job.wait()
            seen = json.loads(job.lines()[0])
        expected = {"TENON_JOB_ID": job.id, "TENON_MODE": "train", "TENON_MODEL": self.scratch, "TENON_MODEL_ID": self.scratch,
                    "TENON_DATA": data, "TENON_OUTPUT": output, "TENON_INPUT_more": data, "TENON_THREADS": "2",
                    "OMP_NUM_THREADS": "2", "FIRST": "train $", "SECOND": "<train $>", "BOTH": "caller", "RAW": "$(X)",
                    "PYTHONUNBUFFERED": "1", "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        self.assertEqual({name: seen.get(name) for name in expected}, expected)
        self.assertNotIn("HF_TOKEN", seen)
        self.assertNotIn("SOME_SECRET", seen)
        self.assertNotIn("TENON_PORT", seen)

    def test_recipe_file_runs_in_its_folder(self):
        place = os.path.join(self.scratch, "program")
        os.mkdir(place)
        with open(os.path.join(place, "recipe.json"), "w", encoding="utf-8") as file:
            file.write(recipe("./here.sh", "$(TENON_MODE)"))
        with open(os.path.join(place, "here.sh"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\npwd; echo $1\n")
        os.chmod(os.path.join(place, "here.sh"), 0o755)
        job = self.train(os.path.join(place, "recipe.json"))
        job.wait()
        self.assertEqual(job.lines(), [os.path.realpath(place), "train"])

    def test_job_outlives_its_caller(self):
        go = os.path.join(self.scratch, "go")
        program = f"import os, time\nprint('here')\nwhile not os.path.exists({go!r}): time.sleep(0.01)\nprint('done')"
        caller = subprocess.Popen([PYTHON, "-c", f"""
import sys
sys.path.insert(0, {HERE!r})
from library import Context
job = Context('job.folder=' + {self.jobs!r}).submit(recipe={python(program)!r})
job.wait({library.RUNNING})
print(job.id, flush=True)
sys.stdin.read()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        name = caller.stdout.readline().strip()
        caller.kill()
        caller.communicate()
        job = self.context.open(name)
        self.assertEqual(job.status().state, library.RUNNING)
        with job.logs(follow=True) as logs:
            self.assertEqual(logs.next().text, "here")
            with open(go, "w", encoding="utf-8"):
                pass
            self.assertEqual([line.text for line in logs], ["done"])
        job.wait()

    def test_wait_and_watch(self):
        job = self.train(recipe("sh", "-c", "sleep 1000"))
        job.wait(library.RUNNING)
        self.assertGreater(job.status().process, 0)
        self.assert_refused(library.ARGUMENT, "no state", job.wait, 15)
        with job.start(library.job_wait, library.SUCCEEDED) as task:
            self.assertEqual(task.wait(1), library.AGAIN)
            task.cancel()
            with self.assertRaises(TenonError) as caught:
                task.wait()
            self.assertEqual(caught.exception.status, library.CANCELLED)
        job.stop()
        error = self.assert_refused(library.CANCELLED, "the job was stopped", job.wait)
        self.assertEqual(error.hint, "")
        self.assertEqual(job.status().state, library.CANCELLED_STATE)
        job.stop()

    def test_list_and_remove(self):
        made = []
        for i in range(3):
            made.append(self.train(recipe("sh", "-c", "exit 0"), labels=[f"number={i}", "all=yes"]))
            made[-1].wait()
        running = self.serve(port=None, environment=["LEAVE=never", "TENON_X=1"][:1])
        running.wait(library.RUNNING)
        everything = [report.id for report in self.context.list()]
        self.assertEqual(everything, [running.id, *[job.id for job in reversed(made)]])
        self.assertEqual([report.id for report in self.context.list(label="number=1")], [made[1].id])
        self.assertEqual([report.id for report in self.context.list(alive=1)], [running.id])
        self.assertEqual([report.id for report in self.context.list(mode=library.SERVE)], [running.id])
        self.assertEqual(len(self.context.list(place="local", label="all=yes", mode=library.TRAIN)), 3)
        self.assert_refused(library.UNSUPPORTED, "mars", self.context.list, place="mars")
        self.assert_refused(library.BUSY, "has not ended", running.remove)
        running.stop()
        for job in [*made, running]:
            job.remove()
            self.assertFalse(os.path.exists(self.folder(job)))
            self.assert_refused(library.NOT_FOUND, job.id, job.remove)
            self.assert_refused(library.NOT_FOUND, job.id, job.wait)
            self.assert_refused(library.NOT_FOUND, job.id, self.context.open, job.id)
            self.assertEqual(job.status().message, "the job was removed")
        self.assertEqual(self.context.list(), [])

    def test_named_output_folder_stays(self):
        output = os.path.join(self.scratch, "kept")
        job = self.train(recipe(PYTHON, TRAIN), output=output)
        job.wait()
        job.remove()
        self.assertEqual(os.listdir(output), ["model.bin"])

    def test_open_refuses_what_is_no_id(self):
        for name in ("", "x", "local:", "local:../../etc", "local:0123456789AB", "local:0123456789abc"):
            self.assert_refused(library.ARGUMENT, "is not the id", self.context.open, name)
        self.assert_refused(library.NOT_FOUND, "no job", self.context.open, "local:0123456789ab")
        self.assert_refused(library.UNSUPPORTED, "mars", self.context.open, "mars:1")

    def test_check(self):
        checks = {check.name: check for check in self.context.checks()}
        self.assertEqual(checks["supervisor"].answer, 1, checks["supervisor"].message)
        self.assertEqual(checks["jobs folder"].answer, 1)
        self.assertIn("llama-server", checks)
        with self.open_context("job.supervisor=/nonexistent/supervisor") as context:
            check = {check.name: check for check in context.checks("local:cpu")}["supervisor"]
        self.assertEqual(check.answer, 2)
        self.assertIn("TENON_SUPERVISOR", check.fix)


class Refused(JobTest):
    """What is wrong before anything has been made."""

    def refuse(self, status, words, **options):
        error = self.assert_refused(status, words, self.context.submit, **options)
        self.assertFalse(os.path.exists(self.jobs) and os.listdir(self.jobs), "something was left behind")
        return error

    def test_recipes(self):
        for text, words in [
                ('{"command": ["x"], "colour": 1}', 'unknown field "colour"'),
                ('{"command": ["x"], "resources": {"gpus": 1}}', 'unknown field "resources.gpus"'),
                ('{"command": "x"}', '"command" is not a list'), ('{"command": []}', '"command" is not'), ("{}", 'no "command"'),
                ('{"command": ["x"], "port": 70000}', '"port" is not a port'), ('{"command": ["x"]', "not valid JSON"),
                ('{"command": ["x"], "environment": {"TENON_MODEL": "y"}}', '"environment" is not'),
                ('{"command": ["x"], "outputs": ["../y"]}', '"outputs" is not'),
                ('{"command": ["$(TENON_NOTHING)"]}', "$(TENON_NOTHING) is no variable"),
                ('{"command": ["$(TENON_PORT)"]}', "$(TENON_PORT) is no variable"),
                ('{"command": ["x"], "environment": {"A": "$(B)", "B": "1"}}', "$(B) is no variable"),
                ('{"command": ["x", "$(OPEN"]}', "no closing bracket")]:
            with self.subTest(text):
                self.assertTrue(self.refuse(library.ARGUMENT, words, recipe=text).message)
        self.assertIn("command", self.refuse(library.ARGUMENT, "unknown field", recipe='{"commands": ["x"]}').hint)
        self.refuse(library.NOT_FOUND, "no recipe", recipe="/nonexistent/recipe.json")
        self.refuse(library.UNSUPPORTED, "image", recipe=recipe("x", image="some/image:1"))

    def test_options(self):
        fine = recipe("sh")
        self.refuse(library.ARGUMENT, "needs a recipe")
        self.refuse(library.ARGUMENT, "needs a model or a recipe", serve=True)
        self.refuse(library.ARGUMENT, "label", recipe=fine, labels=["novalue"])
        self.refuse(library.ARGUMENT, "variable", recipe=fine, environment=["TENON_MODEL=x"])
        self.refuse(library.ARGUMENT, "variable", recipe=fine, environment=["1X=x"])
        self.refuse(library.ARGUMENT, "port", recipe=fine, port=-1)
        self.refuse(library.ARGUMENT, "threads", recipe=fine, threads=-1)
        self.refuse(library.ARGUMENT, "key", recipe=fine, key="")
        self.refuse(library.NOT_FOUND, "does not exist", recipe=fine, model="./nonexistent")
        self.refuse(library.NOT_FOUND, "does not exist", recipe=fine, data="nonexistent")
        self.refuse(library.NOT_FOUND, "does not exist", recipe=recipe("sh", inputs={"a": "nonexistent"}))
        self.refuse(library.ARGUMENT, "not the name of a repository", recipe=fine, model="a/b/c/d")
        self.refuse(library.UNSUPPORTED, "mars", recipe=fine, accelerator="mars:1")
        self.refuse(library.ARGUMENT, "not UTF-8", recipe=fine, name=b"\xff\xfe")

    def test_folder_that_cannot_be_written(self):
        blocked = os.path.join(self.scratch, "file")
        with open(blocked, "w", encoding="utf-8"):
            pass
        with Context(f"job.folder={blocked}/jobs") as context:
            with self.assertRaises(TenonError) as caught:
                context.submit(recipe=recipe("sh"))
            self.assertIn(blocked, caught.exception.message)
        with Context(environment=False) as context:
            self.assert_refused(library.ARGUMENT, "job.folder has no value", context.submit, recipe=recipe("sh"))


class Failures(JobTest):
    """Jobs that fail, and how they explain themselves."""

    def fails(self, given, cause, *words, **options):
        job = self.train(given, **options)
        report = job.end()
        self.assert_failed(report, cause, *words)
        self.assertTrue(report.hint)
        error = self.assert_refused(library.FAILED, report.message, job.wait)
        self.assertEqual((error.message, error.hint), (report.message, report.hint))
        return report

    def test_programs_that_do_not_run(self):
        self.fails(recipe("python3.99"), "program", "python3.99: no such program in", os.environ["PATH"])
        self.fails(recipe("/nonexistent/program"), "program", "/nonexistent/program")
        plain, broken = os.path.join(self.scratch, "plain"), os.path.join(self.scratch, "broken")
        with open(plain, "w", encoding="utf-8") as file:
            file.write("nothing to run")
        self.fails(recipe(plain), "program", "may not be run")
        os.chmod(plain, 0o755)
        self.fails(recipe(plain), "program", "this system cannot run it")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("#!/nonexistent/interpreter\n")
        os.chmod(broken, 0o755)
        self.assertEqual(self.fails(recipe(broken), "program", "its first line").exit_code, -1)
        self.fails(recipe("env", "python3.99"), "program", "exit code 127", "python3.99")
        self.fails(recipe("sh", "-c", "no-such-command-here"), "program", "exit code 127", "no-such-command-here")

    def test_programs_that_end_badly(self):
        report = self.fails(python("print('one'); print('two'); raise ValueError('three')"), "user code", "exit code 1", "ValueError: three")
        self.assertEqual(report.exit_code, 1)
        self.assertTrue(report.last_lines.startswith("one\ntwo\n"))
        self.assertTrue(report.last_lines.endswith("ValueError: three\n"))
        self.assertIn("module", self.fails(python("import no_such_module"), "user code", "no_such_module").hint)
        self.assertEqual(self.fails(recipe("sh", "-c", "exit 3"), "user code", "exit code 3").exit_code, 3)
        report = self.fails(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), "signal", "signal 11")
        self.assertEqual((report.exit_code, report.signal), (-1, signal.SIGSEGV))
        self.fails(python("raise OSError(28, 'No space left on device')"), "disk", "No space left")
        report = self.fails(python("for i in range(100): print('line', i)\nraise SystemExit(4)"), "user code")
        self.assertEqual(len(report.last_lines.splitlines()), 20)

    def test_killed_from_outside(self):
        job = self.train(recipe("sleep", "1000"))
        job.wait(library.RUNNING)
        os.kill(job.status().process, signal.SIGKILL)
        report = job.end()
        self.assert_failed(report, "signal", "signal 9")
        self.assertEqual(report.retry_helps, 1)

    def test_missing_outputs(self):
        self.fails(recipe(PYTHON, TRAIN, outputs=["model.bin", "card.md"]), "output", "card.md")
        job = self.train(recipe(PYTHON, TRAIN, outputs=["model.bin"]))
        job.wait()

    def test_time_limit(self):
        report = self.fails(recipe("sleep", "1000"), "time", "limit of 200 ms", expiry_ms=200)
        self.assertEqual(report.signal, signal.SIGTERM)
        self.fails(recipe("sleep", "1000", resources={"time_ms": 1000}), "time", "limit of 1 s")

    def test_memory_limit(self):
        grows = "import time\nx = []\nwhile True:\n    x.append(bytearray(4 << 20))\n    time.sleep(0.005)"
        report = self.fails(python(grows), "memory", "limit of 200 MiB", memory_bytes=200 << 20)
        self.assertGreater(report.peak_memory_bytes, 150 << 20)
        # Asked for at once: the program is told, and says so in its own words.
        self.fails(python("x = bytearray(1 << 32)", resources={"memory_bytes": 200 << 20}), "memory", "MemoryError")
        # Spread over children: none is above the limit, all together are.
        shares = f"import subprocess, sys\nfor p in [subprocess.Popen([sys.executable, '-c', {'x = bytearray(100 << 20); import time; time.sleep(1000)'!r}]) for _ in range(3)]: p.wait()"
        self.fails(python(shares), "memory", "limit of 200 MiB", memory_bytes=200 << 20)
        # A crash within the limit is no want of memory.
        self.fails(python("import os; os.abort()"), "signal", "signal 6", memory_bytes=200 << 20)

    def test_supervisor_that_is_not_there(self):
        with self.open_context("job.supervisor=/nonexistent/supervisor") as context:
            job = context.submit(recipe=recipe("sh"))
            report = job.end()
            self.assert_failed(report, "refused", "/nonexistent/supervisor")
            self.assertIn("TENON_SUPERVISOR", report.hint)


class Stopping(JobTest):
    settings = ("job.grace_ms=20000",)

    def assert_cancelled(self, job):
        report = job.status()
        self.assertEqual((report.state, report.message), (library.CANCELLED_STATE, "the job was stopped"))
        return report

    def test_program_that_listens(self):
        job = self.running("import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)))\n"
                           "print('here')\ntime.sleep(1000)")
        job.stop()
        self.assert_cancelled(job)
        self.assertEqual(job.lines(), ["here", "saved"])

    def test_program_that_does_not_listen(self):
        job = self.running("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('here')\nwhile True: time.sleep(1)")
        job.stop(grace_ms=200)
        self.assertEqual(self.assert_cancelled(job).signal, signal.SIGKILL)

    def test_second_stop_can_force(self):
        job = self.running("import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: print('no'))\nprint('here')\nwhile True: time.sleep(1)")
        with job.start(library.job_stop, library.byref(library.StopOptions(grace_ms=1000000))) as slow:
            until(lambda: job.lines()[-1] == "no" or slow.wait(10) == library.OK, "the signal")
            self.assertEqual(job.status().state, library.STOPPING)
            job.stop(force=True)
            slow.wait()
        self.assert_cancelled(job)

    def test_grandchildren_and_strays(self):
        script = ("sh -c 'sleep 998 & sleep 999' & setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1001' & "
                  "(setsid setsid sleep 1002 &) ; echo here; wait")
        job = self.running(recipe("sh", "-c", script))
        until(lambda: len(processes_with("TENON_JOB_ID=" + job.id)) >= 7, "all of them")
        job.stop(grace_ms=300)
        self.assert_cancelled(job)
        self.assertEqual([pid for pid in processes_with("TENON_JOB_ID=" + job.id) if is_alive(pid)], [])

    def test_strays_of_a_job_that_ends_by_itself(self):
        with self.open_context("job.grace_ms=100") as context:
            job = context.submit(recipe=recipe("sh", "-c", "setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1001' & sleep 1002 & exit 0"))
            job.wait()
        self.assertEqual([pid for pid in processes_with("TENON_JOB_ID=" + job.id) if is_alive(pid)], [])

    def test_group_has_its_grace_when_the_first_process_ends_early(self):
        saver = "trap 'sleep 0.3; echo saved; exit 0' TERM; echo here; while :; do sleep 0.05; done"
        job = self.running(recipe("sh", "-c", f"sh -c \"{saver}\" & trap 'exit 0' TERM; wait"))
        job.stop()
        self.assertIn("saved", job.lines())

    def test_signal_to_the_supervisor(self):
        job = self.running("import time\nprint('here')\ntime.sleep(1000)")
        os.kill(self.supervisor(job), signal.SIGTERM)
        job.end()
        self.assert_cancelled(job)

    def test_stop_by_somebody_else(self):
        job = self.running("import time\nprint('here')\ntime.sleep(1000)")
        with job.start(library.job_wait, library.SUCCEEDED) as task:
            with self.open_context() as other:
                other.open(job.id).stop()
            with self.assertRaises(TenonError) as caught:
                task.wait()
        self.assertEqual(caught.exception.status, library.CANCELLED)


class Survival(JobTest):
    """kill -9 of whatever watches over a job."""

    def test_supervisor_killed_at_random_moments(self):
        chance = random.Random(5)
        for batch in range(5):
            marks = [os.path.join(self.scratch, f"starts-{batch}-{i}") for i in range(10)]
            jobs = [self.train(recipe("sh", "-c", f"echo x >> {mark}; sleep 0.3; exit 0")) for mark in marks]
            moments = [time.monotonic() + chance.uniform(0, 0.6) for _ in jobs]
            while any(moments):
                # The submission goes on meanwhile, in our own loop.
                self.context.step(1)
                for i, job in enumerate(jobs):
                    supervisor = self.supervisor(job)
                    if moments[i] and time.monotonic() >= moments[i] and supervisor:
                        moments[i] = 0
                        try:
                            os.kill(supervisor, signal.SIGKILL)
                        except ProcessLookupError:
                            pass
            for mark, job in zip(marks, jobs):
                with self.open_context() as other:
                    report = other.open(job.id).end()
                self.assertEqual((report.state, report.exit_code), (library.SUCCEEDED, 0), f"{report.message} {self.state(job)}")
                with open(mark, encoding="utf-8") as file:
                    self.assertEqual(file.read(), "x\n")

    def test_supervisor_killed_again_and_again(self):
        job = self.train(recipe(PYTHON, TRAIN), environment=["STEPS=20", "PAUSE=0.05", "EXIT=7", self.count_starts()])
        job.wait(library.RUNNING)
        seen = set()
        while job.status().state == library.RUNNING:
            supervisor = self.supervisor(job)
            if supervisor not in seen and is_alive(supervisor):
                seen.add(supervisor)
                os.kill(supervisor, signal.SIGKILL)
                until(lambda pid=supervisor: not is_alive(pid), "the kill")
        report = job.end()
        self.assert_failed(report, "user code", "exit code 7")
        self.assertGreater(len(seen), 2)
        self.assertEqual(self.starts(), 1)
        self.assertEqual([metric.step for metric in job.metrics()], list(range(1, 21)))

    def test_waiting_handle_notices_by_itself(self):
        job = self.train(recipe("sh", "-c", "sleep 4; exit 3"))
        job.wait(library.RUNNING)
        os.kill(self.supervisor(job), signal.SIGKILL)
        self.assert_failed(job.end(), "user code", "exit code 3")

    def test_keeper_killed(self):
        go = os.path.join(self.scratch, "go")
        job = self.train(recipe("sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done; exit 5"))
        job.wait(library.RUNNING)
        os.kill(self.state(job)["keeper"]["id"], signal.SIGKILL)
        with open(go, "w", encoding="utf-8"):
            pass
        report = job.end()
        self.assert_failed(report, "user code", "exit code 5")

    def test_both_killed(self):
        job = self.train(recipe("sh", "-c", "sleep 1000"))
        job.wait(library.RUNNING)
        state = self.state(job)
        for name in ("supervisor", "keeper"):
            os.kill(state[name]["id"], signal.SIGKILL)
        with self.open_context() as other:
            again = other.open(job.id)
            self.assertEqual(again.status().state, library.RUNNING)
            os.kill(state["process"]["id"], signal.SIGTERM)
            self.assert_failed(again.end(), "lost", "nobody watched")

    def test_both_killed_and_stopped(self):
        job = self.train(recipe("sh", "-c", "(setsid sleep 1000 &); sleep 1001"))
        job.wait(library.RUNNING)
        state = self.state(job)
        until(lambda: len(processes_with("TENON_JOB_ID=" + job.id)) >= 4, "all of them")
        for name in ("keeper", "supervisor"):
            os.kill(state[name]["id"], signal.SIGKILL)
        with self.open_context() as other:
            other.open(job.id).stop(grace_ms=1000)
        self.assertEqual(job.status().state, library.CANCELLED_STATE)
        self.assertEqual([pid for pid in processes_with("TENON_JOB_ID=" + job.id) if is_alive(pid)], [])

    def test_state_of_another_boot(self):
        job = self.train(recipe("sh", "-c", "sleep 1000"))
        job.wait(library.RUNNING)
        state = self.state(job)
        for name in ("supervisor", "keeper", "process"):
            os.kill(state[name]["id"], signal.SIGKILL)
        until(lambda: not any(is_alive(state[name]["id"]) for name in ("supervisor", "keeper", "process")), "their end")
        state["world"] = "another boot"
        state["process"] = state["supervisor"] = {"id": os.getpid(), "start": 1}
        with open(os.path.join(self.folder(job), "state.json"), "w", encoding="utf-8") as file:
            json.dump(state, file)
        with self.open_context() as other:
            self.assert_failed(other.open(job.id).end(), "lost", "restarted")


class Folders(JobTest):
    """The folder of a job that runs is taken away by hand."""

    def watchers(self, job):
        """Who is there, once everybody has written what there is to write at a start."""
        written = os.path.join(self.folder(job), "exit.1")
        until(lambda: "peak_memory_bytes" in self.state(job) and os.path.exists(written), "the first look at its memory")
        until(lambda: os.path.getsize(written) > 0, "the keeper's word")
        return [self.state(job)[name]["id"] for name in ("supervisor", "keeper", "process")]

    def remove(self, job):
        """Removes the folder and waits for the end of the job; meanwhile another job has one of that name."""
        watchers, folder = self.watchers(job), self.folder(job)
        subprocess.run(["rm", "-rf", folder], check=True)
        os.mkdir(folder)
        for name in ("lock", "stop.json"):
            with open(os.path.join(folder, name), "w", encoding="utf-8"):
                pass
        until(lambda: not any(map(is_alive, watchers)), "the end of all")
        self.assertEqual({name: os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)},
                         {"lock": 0, "stop.json": 0})
        subprocess.run(["rm", "-r", folder], check=True)

    def test_removed(self):
        mark = os.path.join(self.scratch, "saved")
        saver = f"trap 'sleep 0.3; echo > {mark}; exit 0' TERM; echo here; while :; do sleep 0.05; done"
        job = self.running(recipe("sh", "-c", saver))
        self.remove(job)
        self.assertTrue(os.path.exists(mark), "the program had no grace")
        self.assertEqual(self.assert_refused(library.NOT_FOUND, job.id, job.wait).status, library.NOT_FOUND)
        self.assertEqual(job.status().message, "the job was removed")

    def test_removed_under_a_program_that_does_not_listen(self):
        self.context.close()
        self.context = self.open_context("job.grace_ms=200")
        self.remove(self.running(recipe("sh", "-c", "trap '' TERM; setsid sleep 1000 & echo here; sleep 1001; sleep 1002")))

    def test_moved(self):
        """It goes on under the same supervisor, and nothing is written where it was."""
        for whole in (True, False):
            for stopped in (True, False):
                with self.subTest(whole=whole, stopped=stopped):
                    self.check_moved(f"elsewhere {whole} {stopped}", whole, stopped)

    def check_moved(self, place, whole, stopped):
        go = os.path.join(self.scratch, "go")
        job = self.running(recipe("sh", "-c", f"echo here; while [ ! -e {go} ]; do sleep 0.02; done; echo later; exit 7"))
        watchers, jobs, before = self.watchers(job), self.jobs, self.folder(job)
        self.jobs = os.path.join(self.scratch, place)
        self.addCleanup(setattr, self, "jobs", jobs)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.jobs], check=True)
        if whole:
            os.rename(jobs, self.jobs)
        else:
            os.mkdir(self.jobs)
            os.rename(before, self.folder(job))
        with self.open_context() as other:
            again = other.open(job.id)
            self.assertEqual(again.status().state, library.RUNNING)
            if stopped:
                again.stop()
                self.assertEqual(again.status().state, library.CANCELLED_STATE)
            else:
                open(go, "w", encoding="utf-8").close()
                self.assert_failed(again.end(), "user code", "exit code 7")
                self.assertEqual(again.lines(), ["here", "later"])
                os.remove(go)
            self.assertEqual(self.supervisor(job), watchers[0])
        self.assertFalse(os.path.exists(before))
        self.jobs = jobs


class Keys(JobTest):
    def submit_elsewhere(self, key, text):
        return subprocess.Popen([PYTHON, "-c", f"""
import sys
sys.path.insert(0, {HERE!r})
from library import Context
sys.stdin.read(1)
job = Context('job.folder=' + {self.jobs!r}).submit(recipe={text!r}, key={key!r}, environment=[{self.count_starts()!r}])
job.wait()
print(job.id)
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def test_ten_at_once_make_one_job(self):
        callers = [self.submit_elsewhere("the key", recipe(PYTHON, TRAIN)) for _ in range(10)]
        for caller in callers:
            caller.stdin.write("x")
            caller.stdin.flush()
        names = {caller.communicate()[0].strip() for caller in callers}
        self.assertEqual(len(names), 1)
        self.assertEqual([report.id for report in self.context.list()], list(names))
        self.assertEqual(self.starts(), 1)

    def test_same_key(self):
        first = self.train(recipe("sh", "-c", "exit 3"), key="k", labels=["a=b"])
        first.end()
        again = self.train(recipe("sh", "-c", "exit 3"), key="k", labels=["a=b"])
        self.assertEqual(again.id, first.id)
        self.assert_failed(again.end(), "user code", "exit code 3")
        error = self.assert_refused(library.CONFLICT, first.id, self.train, recipe("sh", "-c", "exit 4"), key="k", labels=["a=b"])
        self.assertTrue(error.hint)
        self.assert_refused(library.CONFLICT, first.id, self.train, recipe("sh", "-c", "exit 3"), key="k")
        self.assertNotEqual(self.train(recipe("sh"), key="other").id, first.id)
        first.remove()
        self.assertNotEqual(self.train(recipe("sh", "-c", "exit 4"), key="k").id, first.id)

    def test_key_of_a_folder_that_was_taken_away(self):
        first = self.train(recipe("sh"), key="k")
        first.end()
        until(lambda: not processes_with(self.folder(first)), "the supervisor's end")
        subprocess.run(["rm", "-rf", self.folder(first)], check=True)
        second = self.train(recipe("sh"), key="k")
        self.assertNotEqual(second.id, first.id)
        second.wait()

    def test_submission_that_was_killed_half_way(self):
        """The hub of the first submit never answers; the second one has another, and completes the same job."""
        hub = os.path.join(self.scratch, "hub")
        os.makedirs(os.path.join(hub, "owner", "name"))
        with open(os.path.join(hub, "owner", "name", "config.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            options = {"recipe": recipe(PYTHON, TRAIN), "model": "owner/name", "key": "k", "environment": [self.count_starts()]}
            caller = subprocess.Popen([PYTHON, "-c", f"""
import sys
sys.path.insert(0, {HERE!r})
from library import Context
context = Context('job.folder=' + {self.jobs!r}, 'hub.endpoint={address}', 'hub.cache={self.scratch}/cache')
job = context.submit(**{options!r})
while job.status().stage != 'fetching':
    context.step(10)
print(job.id, flush=True)
job.wait()
"""], stdout=subprocess.PIPE, text=True)
            name = caller.stdout.readline().strip()
            watcher = self.context.open(name)
            self.assertEqual(watcher.status().state, library.SUBMITTING)
            caller.kill()
            caller.communicate()
        self.assert_failed(watcher.status(), "lost", "ended before it was submitted")
        with self.open_context(f"hub.endpoint=file://{hub}", f"hub.cache={self.scratch}/cache") as context:
            job = context.submit(**options)
            self.assertEqual(job.id, name)
            job.wait()
            self.assertRegex(job.lines()[0], r"^training /.+")
        self.assertEqual(watcher.end().state, library.SUCCEEDED)
        self.assertEqual(self.starts(), 1)


class Fetching(JobTest):
    def setUp(self):
        super().setUp()
        self.hub = os.path.join(self.scratch, "hub")
        for path, content in {"owner/name/config.json": "{}", "datasets/owner/words/words.txt": "a b c"}.items():
            os.makedirs(os.path.dirname(os.path.join(self.hub, path)), exist_ok=True)
            with open(os.path.join(self.hub, path), "w", encoding="utf-8") as file:
                file.write(content)
        self.fetching = self.open_context(f"hub.endpoint=file://{self.hub}", f"hub.cache={self.scratch}/cache")
        self.addCleanup(self.fetching.close)

    def test_model_data_and_inputs(self):
        program = "ls $TENON_MODEL $TENON_DATA $TENON_INPUT_more; echo $TENON_MODEL_ID"
        given = recipe("sh", "-c", program, inputs={"more": "hf://datasets/owner/words"})
        job = self.fetching.submit(recipe=given, model="owner/name", data="hf://datasets/owner/words")
        self.assertEqual(job.status().name, "name")
        job.wait()
        lines = job.lines()
        self.assertEqual(lines[-1], "owner/name")
        self.assertEqual((lines.count("config.json"), lines.count("words.txt")), (1, 2))

    def test_files_of_the_model(self):
        """Only those that the recipe asks for are fetched."""
        for name in ("weights.bin", "onnx/large.onnx", "onnx/config.json"):
            os.makedirs(os.path.dirname(os.path.join(self.hub, "owner/name", name)), exist_ok=True)
            with open(os.path.join(self.hub, "owner/name", name), "w", encoding="utf-8") as file:
                file.write("x")
        for files, there in ((["*.json"], ["config.json", "onnx/config.json"]), (["weights.*", "config.json"], ["config.json", "weights.bin"])):
            cache = os.path.join(self.scratch, f"cache-{len(files)}")
            with self.open_context(f"hub.endpoint=file://{self.hub}", f"hub.cache={cache}") as context:
                job = context.submit(recipe=recipe("sh", "-c", "cd $TENON_MODEL && find -L . -type f | sort", files=files), model="owner/name")
                job.wait()
                self.assertEqual(job.lines(), [f"./{path}" for path in there])

    def test_what_cannot_be_fetched(self):
        job = self.fetching.submit(recipe=recipe("sh"), model="owner/nothing")
        report = job.end()
        self.assert_failed(report, "input", "owner/nothing")
        with self.open_context() as other:
            self.assertEqual(other.open(job.id).status().message, report.message)

    def test_stop_and_free_while_fetching(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with self.open_context(f"hub.endpoint={address}", f"hub.cache={self.scratch}/cache") as context:
                stopped = context.submit(recipe=recipe("sh"), model="owner/name")
                context.step(10)
                self.assertEqual(stopped.status().stage, "fetching")
                stopped.stop()
                self.assertEqual(stopped.status().state, library.CANCELLED_STATE)
                freed = context.submit(recipe=recipe("sh"), model="owner/name")
                folder = self.folder(freed)
                context.step(10)
                self.assertTrue(os.path.exists(folder))
                freed.close()
                self.assertFalse(os.path.exists(folder))

    def test_no_engine_knows_the_model(self):
        job = self.fetching.submit(serve=True, model="owner/name")
        self.assert_failed(job.end(), "refused", "neither GGUF nor safetensors")
        job = self.fetching.submit(serve=True, model=self.scratch)
        self.assert_failed(job.end(), "refused", "neither GGUF nor safetensors")

    def engines(self):
        """Stand-ins for the engines, which tell how they were called and then serve."""
        place = os.path.join(self.scratch, "bin")
        os.makedirs(place)
        for name, key in (("llama-server", "LLAMA_API_KEY"), ("vllm", "VLLM_API_KEY")):
            path = os.path.join(place, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f'#!/bin/sh\necho {name} "$@"\n[ "${key}" = "$TENON_API_KEY" ] && echo same key\nexec {PYTHON} {SERVE}\n')
            os.chmod(path, 0o755)
        return self.open_context(f"hub.endpoint=file://{self.hub}", f"hub.cache={self.scratch}/cache", f"job.path={place}:/usr/bin:/bin")

    def put(self, *paths):
        for path in paths:
            os.makedirs(os.path.dirname(os.path.join(self.hub, path)), exist_ok=True)
            with open(os.path.join(self.hub, path), "w", encoding="utf-8") as file:
                file.write(path)

    def serve_with_engine(self, context, model, **options):
        """The engine's whole command line, and its model as it was found; nobody sees the key."""
        job = context.submit(serve=True, model=model, **options)
        address = job.wait(library.RUNNING)
        command, same_key = job.lines()[:2]
        with open(os.path.join(self.folder(job), "spec.json"), encoding="utf-8") as file:
            key = json.load(file)["key"]
        self.assertEqual(same_key, "same key")
        self.assertEqual([line for line in command_lines() if key in line], [])
        self.assertEqual(self.address_of(command), address)
        job.stop()
        return command

    @staticmethod
    def address_of(command):
        words = command.split()
        return f"http://{words[words.index('--host') + 1]}:{words[words.index('--port') + 1]}/v1"

    def assert_command(self, command, *words):
        """All words of it, in order; None stands for what differs each time."""
        found = command.split()
        self.assertEqual(len(found), len(words), command)
        self.assertEqual([None if word is None else given for word, given in zip(words, found)], list(words))

    def test_engines(self):
        self.put("owner/small/model.Q8_0.gguf", "owner/small/model.Q4_K_M.gguf", "owner/small/mmproj.gguf",
                 "owner/parts/x-Q4_K_M-00002-of-00002.gguf", "owner/parts/x-Q4_K_M-00001-of-00002.gguf", "owner/large/model.safetensors")
        with self.engines() as context:
            llama = lambda path, name, threads: ("llama-server", "--model", path, "--alias", name, "--host", "127.0.0.1", "--port", None,
                                                 "--threads", threads)
            command = self.serve_with_engine(context, "owner/small", threads=3)
            self.assert_command(command, *llama(None, "owner/small", "3"))
            self.assertTrue(command.split()[2].endswith("/model.Q4_K_M.gguf"))

            for model in ("owner/small", os.path.join(self.hub, "owner/small")):
                command = self.serve_with_engine(context, model, threads=1, file="model.Q8_0.gguf")
                self.assertTrue(command.split()[2].endswith("/model.Q8_0.gguf"))
                report = context.submit(serve=True, model=model, file="model.gguf").end()
                self.assert_failed(report, "refused", "has no file model.gguf")

            command = self.serve_with_engine(context, "owner/parts", threads=1)
            self.assert_command(command, *llama(None, "owner/parts", "1"))
            first = command.split()[2]
            self.assertTrue(first.endswith("/x-Q4_K_M-00001-of-00002.gguf"))
            self.assertEqual(sorted(os.listdir(os.path.dirname(first))), ["x-Q4_K_M-00001-of-00002.gguf", "x-Q4_K_M-00002-of-00002.gguf"])

            command = self.serve_with_engine(context, "owner/large")
            self.assert_command(command, "vllm", "serve", None, "--served-model-name", "owner/large", "--host", "127.0.0.1", "--port", None)
            self.assertEqual(os.listdir(command.split()[2]), ["model.safetensors"])

            folder, file = os.path.join(self.hub, "owner/small"), os.path.join(self.hub, "owner/small/model.Q8_0.gguf")
            command = self.serve_with_engine(context, folder, threads=2)
            self.assert_command(command, *llama(os.path.join(folder, "model.Q4_K_M.gguf"), folder, "2"))
            self.assert_command(self.serve_with_engine(context, file, threads=2), *llama(file, file, "2"))

            command = self.serve_with_engine(context, file, threads=1, context_tokens=2048, sequences=3)
            self.assert_command(command, *llama(file, file, "1"), "--ctx-size", "6144", "--parallel", "3")
            command = self.serve_with_engine(context, "owner/large", context_tokens=2048, sequences=3)
            self.assertTrue(command.endswith(" --max-model-len 2048 --max-num-seqs 3"), command)

    def test_threads_of_an_engine(self):
        """Half of the processors unless said otherwise, and at least one."""
        self.put("owner/small/model.gguf")
        with self.engines() as context:
            words = self.serve_with_engine(context, "owner/small").split()
        threads = int(words[words.index("--threads") + 1])
        self.assertTrue(1 <= threads <= max(1, len(os.sched_getaffinity(0)) // 2), threads)

    def test_engine_that_is_not_installed(self):
        self.put("owner/small/model.gguf", "owner/large/model.safetensors")
        empty = os.path.join(self.scratch, "empty")
        os.makedirs(empty)
        with self.open_context(f"hub.endpoint=file://{self.hub}", f"hub.cache={self.scratch}/cache", f"job.path={empty}") as context:
            for model, engine in (("owner/small", "llama-server"), ("owner/large", "vllm")):
                report = context.submit(serve=True, model=model).end()
                self.assert_failed(report, "program", engine, empty)
                self.assertTrue(report.hint)


class Logs(JobTest):
    def test_lines(self):
        program = r"""
import sys
w = sys.stdout.buffer.write
w(b'plain\n\nwith\ttab\r\n')
w(b'10%\r20%\r30%\n')
w(b'half \xe2\x82 and \xff\x00 whole \xe2\x82\xac\n')
w(b'x' * 200000 + b'\n')
w('\u20ac'.encode() * 30000 + b'\n')
w(b'no end')
"""
        job = self.train(python(program))
        job.wait()
        lines = job.lines()
        self.assertEqual(lines[:4], ["plain", "", "with\ttab", "30%"])
        self.assertEqual(lines[4], "half \ufffd\ufffd and \ufffd\ufffd whole \u20ac")
        pieces = [line for line in lines[5:] if set(line) == {"x"}]
        self.assertEqual((len(pieces), "".join(pieces)), (4, "x" * 200000))
        self.assertEqual("".join(lines[9:-1]), "\u20ac" * 30000)
        self.assertEqual(lines[-1], "no end")
        with job.logs() as logs:
            self.assertEqual([line.number for line in logs], list(range(1, len(lines) + 1)))

    def test_last_lines(self):
        job = self.train(python("for i in range(20000): print('line', i)"))
        job.wait()
        self.assertEqual(job.lines(last=3), ["line 19997", "line 19998", "line 19999"])
        with job.logs(last=2) as logs:
            self.assertEqual([line.number for line in logs], [1, 2])
        self.assertEqual(len(job.lines(last=15000)), 15000)
        self.assertEqual(len(job.lines(last=20000)), 20000)
        self.assertEqual(job.lines(last=10 ** 12)[0], "line 0")

    def test_last_lines_at_every_length(self):
        """Lines whose ends fall on every place of a block."""
        job = self.train(python("for i in range(600): print('y' * (i * 7 % 300))"))
        job.wait()
        everything = job.lines()
        for last in (1, 2, 50, 599, 600, 601):
            self.assertEqual(job.lines(last=last), everything[-last:])

    def test_following(self):
        go = os.path.join(self.scratch, "go")
        program = f"""
import os, time
print('one')
print('two', end='')
while not os.path.exists({go!r}): time.sleep(0.01)
print(' ends')
print('three', end='')
"""
        job = self.train(python(program))
        with job.logs(follow=True) as logs:
            first = logs.next()
            self.assertEqual((first.text, first.number), ("one", 1))
            self.assertIsNone(logs.next(50))
            with open(go, "w", encoding="utf-8"):
                pass
            self.assertEqual([line.text for line in logs], ["two ends", "three"])
        self.assertEqual(job.lines(follow=True, last=1), ["three"])

    def test_ten_megabytes_read_slowly(self):
        job = self.train(python("import os\nfor i in range(100000): os.write(1, b'%06d ' % i + b'z' * 98 + b'\\n')"))
        with job.logs(follow=True) as logs:
            count = 0
            for line in logs:
                self.assertEqual(int(line.text[:6]), count)
                count += 1
        self.assertEqual(count, 100000)

    def test_garbage(self):
        job = self.train(python("import os\nfor i in range(20): os.write(1, os.urandom(50000))"))
        job.wait()
        self.assertGreater(len(job.lines()), 1000)
        self.assertGreater(len(job.lines(last=10)), 9)
        self.assertEqual([metric for metric in job.metrics()], [])

    def test_reading_and_cancelling(self):
        job = self.train(recipe("sh", "-c", "echo here; sleep 1000"))
        with job.logs(follow=True) as logs:
            self.assertEqual(logs.next().text, "here")
            logs.cancel()
            with self.assertRaises(TenonError) as caught:
                logs.next()
        self.assertEqual(caught.exception.status, library.CANCELLED)
        job.stop(force=True)

    def test_log_of_a_removed_job(self):
        job = self.train(recipe("sh"))
        job.wait()
        with self.open_context() as other:
            other.open(job.id).remove()
        self.assert_refused(library.NOT_FOUND, "removed", job.lines)


class Metrics(JobTest):
    def test_forms(self):
        lines = ['{"step": 1, "loss": 2.5, "learning_rate": 0.001, "steps": 10, "gradient_norm": 1.5, "tokens_per_second": 99}',
                 "{'loss': 2.25, 'grad_norm': 0.5, 'learning_rate': 5e-05, 'epoch': 0.25}",
                 "{'eval_loss': 1.75, 'eval_runtime': 3.0, 'epoch': 1.0}", "not a measurement", '{"step": 3}', '{"name": "x"}',
                 '{"step": 4, "loss": NaN}', "{'loss': nan, 'epoch': 2}", '{"step": 5, "loss": Infinity}',
                 "{'loss': '0.5', 'learning_rate': '1e-06', 'epoch': '3.0'}", '  10%|#  | 1/10\r{"step": 6, "loss": 1}', '{"step": 7, "loss": 1',
                 '2026-01-01 INFO {"step": 8, "loss": 0.25, "time": 1700000000.5}', "{'loss': tensor(1.0)}"]
        job = self.train(python("\n".join(f"print({line!r})" for line in lines)))
        job.wait()
        with job.metrics() as task:
            rows = list(task)
        self.assertEqual([row.step for row in rows], [1, -1, -1, 4, -1, 5, -1, 6, 8])
        first = rows[0]
        self.assertEqual((first.loss, first.learning_rate, first.steps, first.gradient_norm, first.tokens_per_second, first.time_ms),
                         (2.5, 0.001, 10, 1.5, 99.0, -1))
        self.assertTrue(math.isnan(first.epoch))
        self.assertEqual((rows[1].loss, rows[1].gradient_norm, rows[1].learning_rate, rows[1].epoch), (2.25, 0.5, 5e-05, 0.25))
        self.assertEqual((rows[2].evaluation_loss, json.loads(rows[2].json)["eval_runtime"]), (1.75, 3.0))
        self.assertTrue(math.isnan(rows[3].loss) and math.isnan(rows[4].loss))
        self.assertEqual(json.loads(rows[3].json)["loss"], "NaN")
        self.assertEqual(rows[5].loss, math.inf)
        self.assertEqual((rows[6].loss, rows[6].learning_rate, rows[6].epoch), (0.5, 1e-06, 3.0))
        self.assertEqual(rows[8].time_ms, 1700000000500)
        with job.metrics(last=2) as task:
            self.assertEqual([row.step for row in task], [6, 8])
        with job.metrics(last=100) as task:
            self.assertEqual(len(list(task)), 9)

    def test_following(self):
        job = self.train(recipe(PYTHON, TRAIN), environment=["STEPS=5", "PAUSE=0.05"])
        before = time.time() * 1000 - 1000
        with job.metrics(follow=True) as task:
            rows = list(task)
        self.assertEqual([row.step for row in rows], [1, 2, 3, 4, 5])
        self.assertGreater(rows[-1].time_ms, before)


class Serving(JobTest):
    settings = ("job.grace_ms=5000",)

    def get(self, address, path, key=None):
        request = urllib.request.Request(address + path, headers={"Authorization": "Bearer " + key} if key else {})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def refused_key(self, job):
        with self.assertRaises(library.TenonError) as caught:
            job.api_key()
        return caught.exception.message

    def port_of(self, job):
        return int(job.status().address.rpartition(":")[2].partition("/")[0])

    def test_life(self):
        job = self.serve(name="server")
        self.assertIn("is not ready", self.refused_key(job))
        address = job.wait(library.RUNNING)
        self.assertRegex(address, r"^http://127\.0\.0\.1:\d+/v1$")
        report = job.status()
        self.assertEqual((report.state, report.address, report.mode, report.stage), (library.RUNNING, address, library.SERVE, "running"))
        with open(os.path.join(self.folder(job), "spec.json"), encoding="utf-8") as file:
            key = json.load(file)["key"]
        self.assertEqual(os.stat(os.path.join(self.folder(job), "spec.json")).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.folder(job)).st_mode & 0o777, 0o700)
        self.assertRegex(key, r"^[0-9a-f]{32}$")
        self.assertEqual([job.api_key(), job.api_key()], [key, key])
        self.assertEqual(self.get(address, "/models", key)["data"][0]["id"], "small")
        self.assertNotIn(key, report.json)
        with self.open_context() as other:
            self.assertEqual(other.open(job.id).wait(library.RUNNING), address)
            self.assertEqual(other.open(job.id).api_key(), key)
        job.stop()
        self.assertEqual(job.status().state, library.CANCELLED_STATE)
        self.assertIn("has ended", self.refused_key(job))
        job.remove()
        self.assertIn("there is no job", self.refused_key(job))

    def test_slow_and_unwell_and_empty_at_first(self):
        job = self.serve(environment=["LATE=0.5", "UNWELL=3", "EMPTY=2"])
        with job.watch() as watch:
            stages = []
            for report in watch:
                stages.append(report.stage)
                if report.state >= library.RUNNING:
                    break
        self.assertEqual(stages[-2:], ["loading", "running"])
        job.stop()

    def test_server_of_another_kind(self):
        job = self.serve(environment=["NO_MODELS=1"])
        job.wait(library.RUNNING)
        job.stop()

    def test_becomes_ready_while_somebody_only_asks(self):
        job = self.serve()
        until(lambda: self.context.step(20) >= 0 and job.status().state == library.RUNNING, "readiness")
        job.stop()

    def test_without_a_port(self):
        job = self.serve(port=None, environment=["LEAVE=never"])
        self.assertEqual(job.wait(library.RUNNING), "")
        job.stop()

    def test_ends_before_it_is_ready(self):
        job = self.serve(environment=["LEAVE=now"])
        self.assert_failed(job.end(), "health", "before it was ready")
        job = self.context.submit(serve=True, recipe=python("raise SystemExit('cannot load')", port=0))
        self.assert_failed(job.end(), "user code", "cannot load")

    def test_never_ready(self):
        # Long enough for Python to start on a busy machine, so that it gets to say something.
        with self.open_context("job.ready_ms=6000") as context:
            job = self.serve(context=context, environment=["UNWELL=100000"])
            self.assert_failed(job.end(), "health", "not ready in time", "HTTP 503")
        with self.open_context("job.ready_ms=300") as context:
            job = self.serve(context=context, environment=["LEAVE=never"])
            self.assert_failed(job.end(), "health", "not ready in time")

    def test_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            job = self.context.submit(serve=True, recipe=recipe(PYTHON, SERVE, port=0), port=port, environment=[self.count_starts()])
            report = job.end()
            self.assert_failed(report, "port", f"port {port} is taken")
            self.assertTrue(report.hint)
            self.assertEqual(self.starts(), 0)
        first = self.context.submit(serve=True, recipe=recipe(PYTHON, SERVE, port=port))
        self.assertEqual(first.wait(library.RUNNING), f"http://127.0.0.1:{port}/v1")
        second = self.context.submit(serve=True, recipe=recipe(PYTHON, SERVE, port=port))
        self.assert_failed(second.end(), "port", f"port {port} is taken")
        first.stop()

    def test_server_that_insists_on_being_alone(self):
        """It sets no option to share its port, so it dies once of the socket that holds it, and is started again."""
        job = self.serve(environment=["ALONE=1", self.count_starts()])
        job.wait(library.RUNNING)
        self.assertEqual(self.starts(), 2)
        job.stop()

    def test_somebody_else_on_the_port(self):
        job = self.serve(environment=["LEAVE=never"])
        with job.watch() as watch:
            for report in watch:
                if report.stage == "loading":
                    break
            environment = {**os.environ, "TENON_HOST": "127.0.0.1", "TENON_PORT": str(self.port_of(job)), "TENON_API_KEY": "x", "NO_MODELS": "1"}
            other = subprocess.Popen([PYTHON, SERVE], env=environment)
            try:
                def is_heard():
                    try:
                        return self.get(f"http://127.0.0.1:{self.port_of(job)}", "/health")["status"] == "ok"
                    except OSError:
                        return False
                until(is_heard, "the stranger")
                # Two answers to the probes of this handle, of which neither counts.
                self.assertIsNone(watch.next(1500))
                self.assertEqual(job.status().state, library.STARTING)
            finally:
                other.kill()
                other.wait()
        job.stop()

    def test_twenty_at_once(self):
        jobs = [self.serve() for _ in range(20)]
        addresses = {job.wait(library.RUNNING) for job in jobs}
        self.assertEqual(len(addresses), 20)
        for job in jobs:
            job.stop()

    def test_supervisor_killed_while_it_serves(self):
        job = self.serve(environment=[self.count_starts()])
        address = job.wait(library.RUNNING)
        os.kill(self.supervisor(job), signal.SIGKILL)
        with self.open_context() as other:
            again = other.open(job.id)
            self.assertEqual(again.wait(library.RUNNING), address)
            again.stop()
        self.assertEqual(self.starts(), 1)


class Crowd(JobTest):
    COUNT = 200

    def test_two_hundred_idle_jobs(self):
        """Watched by one process; what that costs is printed, not judged, but for what no machine explains."""
        jobs = [self.train(recipe("sleep", "1000")) for _ in range(self.COUNT)]
        for job in jobs:
            job.wait(library.RUNNING)
        before = self.resident()
        tasks = [job.start(library.job_wait, library.SUCCEEDED) for job in jobs]
        self.turn(1)
        grown = self.resident() - before
        cpu, wall = time.process_time(), time.monotonic()
        self.turn(6)
        share = (time.process_time() - cpu) / (time.monotonic() - wall)
        supervisors = [self.supervisor(job) for job in jobs]
        ticks = sum(self.ticks(pid) for pid in supervisors)
        rss = sum(self.resident(pid) for pid in supervisors)
        print(f"\n{self.COUNT} idle jobs: watcher {100 * share:.2f} % of a processor, {grown / self.COUNT:.0f} bytes a job; "
              f"supervisors {rss / self.COUNT / 1024:.0f} KiB and {10 * ticks / self.COUNT:.0f} ms each so far")
        self.assertLess(share, 0.5)
        self.assertLess(grown / self.COUNT, 16384 if "libasan" not in os.environ.get("LD_PRELOAD", "") else 1 << 20)
        for job in jobs:
            self.context.check(library.job_stop(job.handle, library.byref(library.StopOptions(force=1)), library.byref(library.c_void_p())))
        for task in tasks:
            with self.assertRaises(TenonError):
                task.wait()
            task.close()

    def turn(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.context.step(int(1000 * max(0, end - time.monotonic())))

    @staticmethod
    def resident(pid="self"):
        with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    @staticmethod
    def ticks(pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return sum(int(number) for number in file.read().rpartition(")")[2].split()[11:13])


if __name__ == "__main__":
    suite.main()
