"""The Python package as its users meet it: loading, contexts, errors, handles, tasks, threads, asyncio, jobs."""

import ast
import asyncio
import contextlib
import ctypes
import gc
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
import weakref

from package import LIBRARY, PYTHON, ROOT, read_text, run_python, write_text

import repositories
import suite
import tenon
from simulator import Simulator
from tenon import _abi, _look, _values
from tenon._library import library

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_PROGRAM = "/usr/bin/python3"


def needs(*names):
    """Leaves a test out where the library lacks a function that it is about."""
    absent = [name for name in names if not library.has(name)]
    return unittest.skipIf(absent, f"the library has no {', '.join(absent)}")


class Case(unittest.TestCase):
    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def context(self, **settings):
        """A context that sees nothing of the machine's environment and home folder."""
        home = self.folder()
        dotted = {key.replace("__", "."): value for key, value in settings.items()}
        context = tenon.Context({"home": home, **dotted}, environment=False)
        self.addCleanup(context.close)
        return context

    def build(self, source, name="fake"):
        """A shared library made of a C text."""
        path = os.path.join(self.folder(), f"lib{name}.so")
        write_text(source, path + ".c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-I", os.path.join(ROOT, "include"), path + ".c", "-o", path], check=True)
        return path


# ---- without a service ----

class Loading(Case):
    def assert_fails(self, result, *texts):
        self.assertNotEqual(result.returncode, 0)
        last = result.stderr.strip().splitlines()[-1]
        for text in ("ImportError: ", *texts):
            self.assertIn(text, last)

    def test_version(self):
        self.assertEqual(tenon.__version__, tenon.version())
        self.assertRegex(tenon.version(), r"^\d+\.\d+\.\d+$")

    def test_a_path_that_is_not_there(self):
        result = run_python("import tenon", TENON_LIBRARY="/nowhere/libtenon.so")
        self.assert_fails(result, "/nowhere/libtenon.so", "TENON_LIBRARY")

    def test_another_library(self):
        self.assert_fails(run_python("import tenon", TENON_LIBRARY=self.build("int x;")), "is not libtenon")

    def test_a_library_with_another_interface(self):
        path = self.build('const char *tenon_version(void) { return "7.0.0"; }')
        self.assert_fails(run_python("import tenon", TENON_LIBRARY=path), "libtenon 7.0.0", "is made for 0.")

    def test_a_library_beside_the_package(self):
        folder = self.folder()
        shutil.copytree(os.path.join(PYTHON, "tenon"), os.path.join(folder, "tenon"))
        shutil.copy(os.path.realpath(LIBRARY), os.path.join(folder, "tenon", "libtenon.so.0"))
        result = run_python("import tenon; print(tenon._library.library._path)", TENON_LIBRARY=None, PYTHONPATH=folder)
        self.assertEqual(result.stdout.strip(), os.path.join(folder, "tenon", "libtenon.so.0"), result.stderr)

    def test_an_older_library_lacks_a_function(self):
        path = self.build('const char *tenon_version(void) { return "0.0.9"; }')
        code = ("import tenon\ntry:\n    tenon.Context()\n"
                "except tenon.UnsupportedError as error:\n    print(int(error.status), error.message)")
        result = run_python(code, TENON_LIBRARY=path)
        self.assertEqual(result.stdout.strip(), f"-26 libtenon 0.0.9 ({path}) has no tenon_context_open", result.stderr)

    def test_it_is_written_for_python_3_9(self):
        for name in sorted(os.listdir(os.path.join(PYTHON, "tenon"))):
            if name.endswith(".py"):
                ast.parse(read_text(PYTHON, "tenon", name), name, feature_version=(3, 9))

    def test_it_needs_no_package_but_its_own(self):
        result = run_python("import sys; before = set(sys.modules); import tenon\n"
                            "print({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))")
        self.assertEqual(result.stdout, "{'tenon'}\n", result.stderr)


class StructSizes(Case):
    """An older library fills less, an older caller asks for less."""

    OLDER = """
        #include <string.h>
        #include "tenon.h"
        const char *tenon_version(void) { return "0.0.9"; }
        tenon_status tenon_setting_at(uint32_t index, tenon_setting *setting)
        {
            uint32_t asked = setting->struct_size;
            if (index > 0)
                return TENON_DONE;
            memset(setting, 0, asked);
            setting->struct_size = offsetof(tenon_setting, default_value);
            setting->type = 77;
            setting->key = "older.key";
            setting->unit = "ms";
            return TENON_OK;
        }
        tenon_status tenon_context_open(const tenon_context_options *options, tenon_context **context)
        {
            static int opened;
            *context = (tenon_context *)&opened;
            return options->struct_size > 4 ? TENON_OK : TENON_ERROR_ARGUMENT;
        }
        void tenon_context_free(tenon_context *context) { (void)context; }
        tenon_status tenon_context_error(tenon_context *context, tenon_error *error)
        {
            (void)context;
            memset(error, 0, error->struct_size);
            error->struct_size = offsetof(tenon_error, hint);
            error->status = TENON_ERROR_GATED;
            error->message = "older";
            return TENON_OK;
        }
        tenon_status tenon_context_set(tenon_context *context, const char *key, const char *value)
        {
            (void)context, (void)key, (void)value;
            return TENON_ERROR_GATED;
        }
    """

    def test_fields_that_an_older_library_does_not_fill(self):
        code = """
import tenon
row, = tenon.settings()
print(row.key, row.unit, repr(row.default_value), row.minimum, row.secret, row.type.name)
context = tenon.Context()
try:
    context.set("a", "b")
except tenon.GatedError as error:
    print(error.message, repr(error.hint), error.http_status, error.retry_after_ms)
"""
        result = run_python(code, TENON_LIBRARY=self.build(self.OLDER))
        self.assertEqual(result.stdout.splitlines(), ["older.key ms '' 0 False TEXT", "older '' 0 None"], result.stderr)

    def test_a_caller_that_knows_less(self):
        size = _abi.tenon_setting.unit.offset
        struct = _abi.tenon_setting(struct_size=size, unit=b"untouched")
        self.assertEqual(library.tenon_setting_at(1, struct), 0)
        self.assertEqual((struct.struct_size, struct.key, struct.unit), (size, b"hub.endpoint", b"untouched"))

    def test_a_caller_that_knows_more(self):
        class Larger(ctypes.Structure):
            _fields_ = [("known", _abi.tenon_setting), ("more", ctypes.c_int64)]
        larger = Larger()
        larger.known.struct_size = ctypes.sizeof(Larger)
        larger.more = 5
        self.assertEqual(library.tenon_setting_at(0, larger.known), 0)
        self.assertEqual((larger.known.struct_size, larger.more), (ctypes.sizeof(_abi.tenon_setting), 0))

    def test_an_option_that_the_library_does_not_know(self):
        class Larger(ctypes.Structure):
            _fields_ = [("known", _abi.tenon_context_options), ("more", ctypes.c_int64)]
        for more, status in ((0, 0), (1, -26)):
            larger = Larger(more=more)
            larger.known.struct_size = ctypes.sizeof(Larger)
            address = ctypes.c_void_p()
            self.assertEqual(library.tenon_context_open(larger.known, ctypes.byref(address)), status)
            library.tenon_context_free(address)


class Contexts(Case):
    def test_settings(self):
        context = self.context(hub__files=3)
        self.assertEqual(context.get("hub.files"), "3")
        context.set("hub.files", "5")
        self.assertEqual(context.get("hub.files"), "5")
        context.set("hub.files", None)
        self.assertEqual(context.get("hub.files"), "8")
        self.assertTrue(context.get("hub.cache").startswith(context.get("home") + "/"))

    def test_the_forms_of_first_settings(self):
        for given in ({"hub.files": 3}, ["hub.files=3"], "hub.files=3"):
            with tenon.Context(given, environment=False) as context:
                self.assertEqual(context.get("hub.files"), "3")

    def test_a_wrong_first_setting_is_named(self):
        with self.assertRaises(tenon.ArgumentError) as caught:
            tenon.Context({"hub.endpoint": "http://x", "hub.files": "many"})
        self.assertIn("hub.files", caught.exception.message)

    def test_the_environment_is_read_or_not(self):
        code = "import tenon; print(*[tenon.Context(environment=on).get('hub.endpoint') for on in (True, False)])"
        result = run_python(code, HF_ENDPOINT="http://127.0.0.1:9")
        self.assertEqual(result.stdout.split(), ["http://127.0.0.1:9", "https://huggingface.co"], result.stderr)

    def test_a_secret_is_not_shown(self):
        self.assertEqual(self.context(hub__token="hf_secret_of_mine").get("hub.token"), "(set)")

    def test_the_table_of_settings(self):
        rows = tenon.settings()
        files = next(row for row in rows if row.key == "hub.files")
        self.assertEqual((files.type, files.default_value, files.minimum, files.maximum, files.unit, files.secret),
                         (tenon.SettingType.INTEGER, "8", 1, 64, "files", False))
        self.assertTrue(next(row for row in rows if row.key == "hub.token").secret)
        self.assertEqual(len({row.key for row in rows}), len(rows))

    def test_a_foreign_loop(self):
        context = self.context()
        self.assertGreaterEqual(context.descriptor(), 0)
        self.assertEqual(context.timeout(), -1)
        self.assertFalse(context.step(0))
        self.assertFalse(context.step(20))
        self.assertIsNone(context.next_task())

    def test_wake_ends_a_step_from_another_thread(self):
        context = self.context()
        waker = threading.Timer(0.05, context.wake)
        waker.start()
        self.assertTrue(context.step(-1))
        waker.join()

    def test_the_default_context_is_one(self):
        code = "import tenon; print(tenon.Context.default() is tenon.Context.default(), type(tenon.Context.default()).__name__)"
        self.assertEqual(run_python(code).stdout.split(), ["True", "Context"])

    def test_a_closed_default_context_is_replaced(self):
        code = "import tenon; one = tenon.Context.default(); one.close(); print(tenon.Context.default() is one)"
        self.assertEqual(run_python(code).stdout.split(), ["False"])


class Errors(Case):
    def test_details(self):
        context = self.context()
        with self.assertRaises(tenon.ArgumentError) as caught:
            context.set("no.such", "1")
        error = caught.exception
        self.assertIsInstance(error, tenon.TenonError)
        self.assertEqual(error.status, tenon.Status.ERROR_ARGUMENT)
        self.assertIn("no.such", error.message)
        self.assertEqual(str(error), f"{error.message}\n{error.hint}")
        self.assertEqual((error.code, error.request_id, error.http_status, error.system_error, error.retry_after_ms),
                         ("", "", 0, 0, None))
        self.assertEqual(context.error().message, error.message)

    def test_each_status_has_a_class(self):
        for status in tenon.Status:
            if status < 0:
                error = tenon.TenonError._make(int(status))
                self.assertEqual((error.status, type(error).status), (status, status))
                self.assertIs(getattr(tenon, type(error).__name__), type(error))
                self.assertTrue(error.message)

    def test_a_status_of_a_newer_library(self):
        error = tenon.TenonError._make(-999, "new")
        self.assertEqual((type(error), error.status, str(error)), (tenon.TenonError, -999, "new"))

    def test_pickled(self):
        error = tenon.GatedError("locked", "open it", "GatedRepo", "id", 403, 0, 5)
        error.rows = [1]
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), again.args, again.hint, again.rows), (tenon.GatedError, error.args, "open it", [1]))

    def test_values_that_no_c_text_can_be(self):
        context = self.context()
        for value, kind in (("a\0b", ValueError), (5, TypeError), (object(), TypeError)):
            with self.assertRaises(kind):
                context.set("hub.files", value)

    def test_constants(self):
        self.assertEqual(_values.choice(tenon.CachePolicy, "offline"), 4)
        self.assertEqual(_values.choice(tenon.CachePolicy, tenon.CachePolicy.FRESH), 3)
        self.assertEqual(_values.choice(tenon.CachePolicy, 99), 99)
        with self.assertRaises(tenon.ArgumentError) as caught:
            _values.choice(tenon.CachePolicy, "never")
        self.assertIn("pinned", str(caught.exception))
        self.assertIs(tenon.JobState(12345), tenon.JobState.UNKNOWN)
        self.assertEqual((str(tenon.JobState.RUNNING), f"{tenon.JobState.RUNNING}"), ("running", "running"))
        with self.assertRaises(ValueError):
            tenon.JobState("running")


class Workers(Case):
    """Threads are started where they were asked for, when there is work for them, and end with the context."""

    def started(self, workers):
        """How many threads a download from a folder starts."""
        hub = self.folder()
        os.makedirs(os.path.join(hub, "acme", "small"))
        write_text("{}", hub, "acme", "small", "config.json")
        threads = lambda: len(os.listdir("/proc/self/task"))
        before = threads()
        with tenon.Context({"home": self.folder(), "hub.endpoint": f"file://{hub}"}, environment=False, workers=workers) as context:
            self.assertEqual(threads(), before)
            path = tenon.Hub(context=context).download("acme/small", "config.json")
            self.assertEqual(read_text(path), "{}")
            started = threads() - before
        gc.collect()
        self.assertEqual(threads(), before)
        return started

    def test_they_are_started_where_they_were_asked_for(self):
        self.assertEqual([self.started(workers) for workers in (0, 1, 8)], [0, 1, 1])

    def test_how_many_there_may_be(self):
        for workers in (-1, 65):
            with self.assertRaises(tenon.ArgumentError):
                tenon.Context(environment=False, workers=workers)


class Handles(Case):
    def test_a_closed_handle_is_refused(self):
        context = tenon.Context(environment=False)
        context.close()
        context.close()
        self.assertTrue(context.closed)
        for call in (context.error, context.timeout, context.wake, lambda: context.set("a", "b"), lambda: context.step(0)):
            with self.assertRaises(tenon.MisuseError) as caught:
                call()
            self.assertIn("closed", str(caught.exception))

    def test_a_block_closes(self):
        with tenon.Context(environment=False) as context:
            self.assertFalse(context.closed)
        self.assertTrue(context.closed)

    def test_a_context_is_freed_without_the_collector(self):
        gc.disable()
        self.addCleanup(gc.enable)
        context = tenon.Context(environment=False, logger=print)
        gone = weakref.ref(context)
        del context
        self.assertIsNone(gone())

    def test_a_constructor_that_fails_leaves_nothing(self):
        with self.assertRaises(tenon.ArgumentError):
            tenon.Context({"no.such": 1})
        gc.collect()

    def test_forked(self):
        code = """
import os, tenon
context = tenon.Context(environment=False)
mine = tenon.Context.default()
if os.fork() == 0:
    try:
        context.set("hub.files", "3")
    except tenon.MisuseError:
        print("refused", flush=True)
    context.close()
    print(tenon.Context.default() is not mine, tenon.Context.default().get("hub.files"), flush=True)
    os._exit(0)
os.wait()
print(context.get("hub.files"))
"""
        result = run_python(code)
        self.assertEqual(result.stdout.split(), ["refused", "True", "8", "8"], result.stderr)

    def test_every_function_survives_null(self):
        """A program of its own, so that a crash has a name."""
        code = f"import sys; sys.path.insert(0, {HERE!r}); import nothing"
        result = run_python(code)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout[-300:])
        self.assertIn("tenon_context_open", result.stdout)


class Logging(Case):
    def noisy(self, logger, level="debug"):
        """A context whose logger hears something: a file hub that does not exist, tried with every request logged."""
        context = tenon.Context({"home": self.folder()}, environment=False, logger=logger, level=level)
        self.addCleanup(context.close)
        return context

    @needs("tenon_hub_info")
    def test_records(self):
        records = []
        context = self.noisy(records.append)
        with Simulator("hub") as simulator:
            tenon.Hub(simulator.url, context=context).exists("no/such")
        self.assertTrue(records)
        self.assertIsInstance(records[0], tenon.LogRecord)
        self.assertEqual({type(record.level) for record in records}, {tenon.LogLevel})
        self.assertTrue(all(record.component and record.text for record in records))

    @needs("tenon_hub_info")
    def test_an_error_of_the_logger_is_reported(self):
        seen = []
        before, sys.unraisablehook = sys.unraisablehook, lambda report: seen.append(report.exc_value)
        try:
            def logger(record):
                raise ZeroDivisionError(record.text)
            with Simulator("hub") as simulator:
                self.assertFalse(tenon.Hub(simulator.url, context=self.noisy(logger)).exists("no/such"))
        finally:
            sys.unraisablehook = before
        self.assertEqual({type(error) for error in seen}, {ZeroDivisionError})

    @needs("tenon_hub_info")
    def test_ctrl_c_in_the_logger_gets_through(self):
        def logger(record):
            raise KeyboardInterrupt
        with Simulator("hub") as simulator, self.assertRaises(KeyboardInterrupt):
            tenon.Hub(simulator.url, context=self.noisy(logger)).exists("no/such")

    @needs("tenon_hub_info")
    def test_a_logger_may_not_call_its_context(self):
        answers = []

        def logger(record):
            try:
                context.get("hub.files")
            except tenon.MisuseError as error:
                answers.append(error)
        context = self.noisy(logger)
        with Simulator("hub") as simulator:
            tenon.Hub(simulator.url, context=context).exists("no/such")
        self.assertTrue(answers)


class Looks(Case):
    """Rows read well when they are printed."""

    def row(self, kind, /, **values):
        """A row with these values and nothing else."""
        struct = kind._struct(struct_size=ctypes.sizeof(kind._struct))
        for name, value in values.items():
            setattr(struct, name, value)
        children = [()] * (len(kind.__dataclass_fields__) - len(kind._columns))
        return kind._read(struct, *children)

    def test_sizes(self):
        for count, wanted in ((None, "?"), (-1, "?"), (0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (99_940, "99.9 KB"),
                              (99_960, "100 KB"), (999_400, "999 KB"), (999_600, "1.0 MB"), (15_032_385_536, "15.0 GB")):
            self.assertEqual(_look.size(count), wanted)
        for count, wanted in ((1023, "1023 B"), (1024, "1.0 KiB"), (15_032_385_536, "14.0 GiB"), (2 ** 60, "1024 PiB")):
            self.assertEqual(_look.memory_size(count), wanted)

    def test_an_offer(self):
        offer = self.row(tenon.Offer, verdict=1, accelerator=b"local:cuda:0", summary=b"It fits.", hour_usd_micros=2_500_000)
        self.assertEqual(str(offer), "local:cuda:0      fits     $2.50 an hour  It fits.")
        self.assertEqual((offer.reasons, offer.memory), ((), ()))

    def test_a_piece_is_its_text(self):
        self.assertEqual(f'{self.row(tenon.Piece, kind=1, text="naïve".encode())}', "naïve")

    def test_a_metric(self):
        nan = float("nan")
        metric = self.row(tenon.Metric, step=10, steps=100, loss=2.5, learning_rate=nan, epoch=nan, tokens_per_second=nan,
                          evaluation_loss=nan, gradient_norm=nan)
        self.assertEqual(str(metric), "step 10/100  loss 2.5")
        self.assertIsNone(metric.learning_rate)

    def test_what_is_unknown_is_none(self):
        progress = self.row(tenon.Progress, stage=b"downloading", bytes=5, bytes_total=-1, bytes_per_second=-1, left_ms=-1)
        self.assertEqual((progress.bytes_total, progress.left_ms, str(progress)), (None, None, "downloading  5 B"))

    def test_every_row_has_a_line(self):
        for name in tenon.__all__:
            kind = getattr(tenon, name)
            if isinstance(kind, type) and issubclass(kind, tenon.Row) and kind is not tenon.Row:
                self.assertIn(name, _look.LINES)
                self.assertIsInstance(str(self.row(kind)), str)

    def test_rows_do_not_change(self):
        with self.assertRaises(AttributeError):
            self.row(tenon.Piece).text = "x"


# ---- with a hub ----

class HubCase(Case):
    """A context of its own and one simulator for the whole class."""

    @classmethod
    def setUpClass(cls):
        cls.simulator = Simulator("hub")
        cls.addClassCleanup(cls.simulator.stop)
        cls.simulator.put_repository(repositories.small_model("acme/small"))

    def setUp(self):
        self.simulator.clear()
        self.hub = self.open_hub()

    def open_hub(self):
        context = self.context()
        hub = tenon.Hub(self.simulator.url, cache=os.path.join(context.get("home"), "cache"), context=context)
        self.addCleanup(hub.close)
        return hub

    def stall(self, path="model.safetensors"):
        """Lets nobody get further than the first bytes of a file."""
        self.simulator.faults({"path": path, "origin": "hub", "stall_headers": True})

    def stalled_thread(self, call):
        """A thread that is in a call which stalls, and which ends by being cancelled; join it after that."""
        def run():
            with self.assertRaises(tenon.CancelledError):
                call()
            ended.append(True)
        ended = []
        thread = threading.Thread(target=run)
        self.addCleanup(lambda: self.assertTrue(ended))
        self.addCleanup(thread.join)
        thread.start()
        self.simulator.wait(stalled=1)
        return thread


@needs("tenon_hub_snapshot", "tenon_hub_info", "tenon_hub_list", "tenon_hub_read")
class Results(HubCase):
    """What blocking calls return."""

    def test_a_single_row(self):
        info = self.hub.info("acme/small")
        self.assertIsInstance(info, tenon.Repository)
        self.assertEqual((info.id, info.type, len(info.commit)), ("acme/small", tenon.RepositoryType.MODEL, 40))
        self.assertEqual(json.loads(info.json)["id"], "acme/small")

    def test_rows(self):
        files = self.hub.list("acme/small")
        self.assertTrue(all(isinstance(file, tenon.File) for file in files))
        self.assertIn("config.json", [file.path for file in files])
        self.assertIn(repositories.ODD_NAME, [str(file) for file in files])

    def test_text(self):
        folder = self.hub.snapshot("acme/small", allow=["*.json"])
        self.assertIsInstance(folder, str)
        self.assertEqual(json.loads(read_text(folder, "config.json"))["model_type"], "llama")
        self.assertFalse(os.path.exists(os.path.join(folder, "README.md")))

    def test_the_forms_of_lists_and_paths(self):
        class Folder:
            def __fspath__(self):
                return target
        for allow in ("*.json", ["*.json"], ("*.json",), {"*.json"}, (pattern for pattern in ["*.json"])):
            target = self.folder()
            self.hub.snapshot("acme/small", allow=allow, folder=Folder())
            self.assertIn("config.json", os.listdir(target))
            self.assertNotIn("README.md", os.listdir(target))

    def test_truth(self):
        self.assertIs(self.hub.exists("acme/small"), True)
        self.assertIs(self.hub.exists("acme/small", "config.json"), True)
        self.assertIs(self.hub.exists("acme/small", "no.json"), False)

    def test_bytes(self):
        whole = self.hub.read("acme/small", "config.json")
        self.assertEqual(json.loads(whole)["model_type"], "llama")
        self.assertEqual(self.hub.read("acme/small", "config.json", offset=2, length=5), whole[2:7])

    def test_a_number(self):
        self.hub.download("acme/small", "config.json")
        self.assertIsInstance(self.hub.forget("acme/small"), int)

    def test_flags_are_arguments(self):
        kinds = {file.kind for file in self.hub.list("acme/small", flat=True)}
        self.assertIn(tenon.FileKind.FOLDER, kinds)

    def test_an_error_of_the_service(self):
        with self.assertRaises(tenon.NotFoundError) as caught:
            self.hub.download("acme/small", "no.json")
        self.assertEqual(caught.exception.http_status, 404)
        self.assertIn("no.json", caught.exception.message)
        self.assertTrue(caught.exception.hint)

    def test_rows_that_came_before_a_failure(self):
        path = self.hub.download("acme/small", "config.json")
        write_text("spoiled", os.path.realpath(path))
        with self.assertRaises(tenon.IntegrityError) as caught:
            self.hub.verify()
        self.assertEqual([(row.path, row.content) for row in caught.exception.rows], [("config.json", tenon.Content.CORRUPT)])

    def test_a_required_argument(self):
        with self.assertRaises(TypeError):
            self.hub.publish("acme/small")


@needs("tenon_hub_snapshot", "tenon_hub_read", "tenon_hub_list")
class Tasks(HubCase):
    """What start_ methods return, used blocking."""

    def test_rows_one_by_one(self):
        task = self.hub.start_snapshot("acme/small")
        paths = [file.path for file in task]
        self.assertIn("config.json", paths)
        self.assertEqual(task.state(), tenon.Status.OK)
        self.assertTrue(os.path.isdir(task.result()))
        self.assertEqual(task.text, task.result())
        self.assertEqual(list(task), [])

    def test_bytes_piece_by_piece(self):
        whole = self.hub.read("acme/small", "model.safetensors")
        with self.hub.start_read("acme/small", "model.safetensors") as task:
            first = task.read(10)
            self.assertEqual(first + b"".join(task), whole)
            self.assertEqual(task.read(), b"")

    def test_a_result_is_kept(self):
        task = self.hub.start_list("acme/small")
        self.assertEqual(task.result(), task.result())
        self.assertEqual(self.hub.start_read("acme/small", "config.json").result()[:1], b"{")

    def test_json(self):
        task = self.hub.start_info("acme/small")
        task.result()
        self.assertEqual(json.loads(task.json)["id"], "acme/small")

    def test_nothing_to_iterate(self):
        with self.assertRaises(TypeError):
            next(self.hub.start_download("acme/small", "config.json"))

    def test_progress(self):
        self.stall()
        task = self.hub.start_snapshot("acme/small")
        self.stalled_thread(task.wait)
        progress = task.progress()
        self.assertFalse(progress.ended)
        self.assertLess(progress.bytes, progress.bytes_total)
        self.assertFalse(task.wait(0))
        self.assertFalse(task.wait(20))
        task.cancel()

    def test_progress_at_the_end(self):
        task = self.hub.start_snapshot("acme/small")
        self.assertTrue(task.wait())
        self.assertTrue(task.progress().ended)
        self.assertEqual(task.progress().bytes, task.progress().bytes_total)

    def test_cancel(self):
        self.stall()
        task = self.hub.start_snapshot("acme/small")
        self.assertFalse(task.wait(10))
        task.cancel()
        self.assertEqual(task.state(), tenon.Status.ERROR_CANCELLED)
        for call in (task.wait, task.result, lambda: list(task)):
            with self.assertRaises(tenon.CancelledError):
                call()
        self.assertEqual(task.error().status, tenon.Status.ERROR_CANCELLED)

    def test_a_block_cancels(self):
        self.stall()
        with self.hub.start_snapshot("acme/small") as task:
            task.wait(10)
        self.assertTrue(task.closed)
        with self.assertRaises(tenon.MisuseError):
            task.result()

    def test_a_failed_task_says_why(self):
        task = self.hub.start_info("acme/none")
        with self.assertRaises(tenon.TenonError) as caught:
            task.result()
        self.assertEqual(task.error().message, caught.exception.message)
        self.assertEqual(task.state(), caught.exception.status)

    def test_thousands_by_their_news(self):
        tasks = {self.hub.start_exists("acme/small", f"file{number}") for number in range(50)}
        ended = set()
        while len(ended) < len(tasks):
            self.hub.context.step()
            task = self.hub.context.next_task()
            while task is not None:
                self.assertIn(task, tasks)
                if task.state() != tenon.Status.AGAIN:
                    ended.add(task)
                task = self.hub.context.next_task()
        self.assertEqual({task.state() for task in tasks}, {tenon.Status.ERROR_NOT_FOUND})

    def test_freed_in_any_order_and_from_any_thread(self):
        self.stall()
        for order in ("context hub task", "task hub context", "hub context task", "task context hub"):
            hub = self.open_hub()
            things = {"context": hub.context, "hub": hub, "task": hub.start_snapshot("acme/small")}
            things["task"].wait(5)
            del hub
            for number, name in enumerate(order.split()):
                close = things.pop(name).close
                if number % 2:
                    thread = threading.Thread(target=close)
                    thread.start()
                    thread.join()
                else:
                    close()

    def test_the_collector_frees_in_a_thread_of_its_own(self):
        self.stall()
        hub = self.open_hub()
        cycle = [hub.start_snapshot("acme/small") for _ in range(20)]
        cycle.append(cycle)
        del cycle, hub
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()

    def test_the_end_of_the_interpreter(self):
        """Handles that are alive at the end, in whatever order, do no harm."""
        self.stall()
        code = """
import sys, tenon
context = tenon.Context({"home": sys.argv[2]}, environment=False, logger=lambda record: None, level="debug")
hub = tenon.Hub(sys.argv[1], context=context)
tasks = [hub.start_snapshot("acme/small") for _ in range(3)]
tasks[0].wait(20)
class Holder:
    task = tasks[1]
tenon.Context.default()
"""
        result = run_python(code, self.simulator.url, self.folder())
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))


@needs("tenon_hub_snapshot", "tenon_hub_exists")
class Interrupts(HubCase):
    def test_ctrl_c_ends_a_blocking_call(self):
        code = """
import sys, tenon
context = tenon.Context({"home": sys.argv[2]}, environment=False)
hub = tenon.Hub(sys.argv[1], context=context)
try:
    hub.snapshot("acme/small")
except KeyboardInterrupt:
    print("interrupted", hub.exists("acme/small"), context._waiting, flush=True)
"""
        self.stall()
        program = subprocess.Popen([PYTHON_PROGRAM, "-c", code, self.simulator.url, self.folder()],
                                   env={**os.environ, "PYTHONPATH": PYTHON}, stdout=subprocess.PIPE, text=True)
        self.addCleanup(program.stdout.close)
        self.simulator.wait(stalled=1)
        program.send_signal(signal.SIGINT)
        self.assertEqual(program.stdout.read(), "interrupted True 0\n")
        self.assertEqual(program.wait(), 0)


@needs("tenon_hub_snapshot", "tenon_hub_info")
class Threads(HubCase):
    """One context and its handles, used by many threads."""

    def together(self, count, work):
        """Runs work(number) in many threads; their results, or the first error."""
        results, errors = {}, []

        def run(number):
            try:
                results[number] = work(number)
            except BaseException as error:
                errors.append(error)
        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results

    def test_many_threads_share_a_hub(self):
        folder = self.folder()
        results = self.together(8, lambda number: self.hub.snapshot("acme/small", folder=os.path.join(folder, str(number))))
        self.assertEqual(sorted(results.values()), [os.path.join(folder, str(number)) for number in range(8)])
        self.assertEqual(self.hub.context._waiting, 0)

    def test_a_thread_that_waits_lets_others_in(self):
        self.stall()
        task = self.hub.start_snapshot("acme/small")
        self.stalled_thread(task.result)
        self.assertEqual(self.hub.info("acme/small").id, "acme/small")
        self.assertFalse(task.progress().ended)
        task.cancel()

    def test_a_context_for_each_thread(self):
        hubs = [self.open_hub() for _ in range(4)]
        results = self.together(4, lambda number: hubs[number].info("acme/small").id)
        self.assertEqual(set(results.values()), {"acme/small"})

    def test_other_threads_of_python_run_meanwhile(self):
        def other():
            self.simulator.wait(stalled=1)
            task.cancel()
        self.stall()
        task = self.hub.start_snapshot("acme/small")
        thread = threading.Thread(target=other)
        thread.start()
        with self.assertRaises(tenon.CancelledError):
            task.result()
        thread.join()


@needs("tenon_hub_snapshot", "tenon_hub_info", "tenon_hub_list", "tenon_hub_read")
class Asyncio(HubCase):
    def run_async(self, body):
        """Runs a coroutine; afterwards nothing of the context is left in the event loop."""
        async def whole():
            value = await body()
            for _ in range(3):
                await asyncio.sleep(0)
            self.assertEqual((self.hub.context._drivers, self.hub.context._futures), ({}, {}))
            return value
        return asyncio.run(whole())

    async def stalled(self, count=1):
        """Gives way until the simulator stalls."""
        await asyncio.get_running_loop().run_in_executor(None, lambda: self.simulator.wait(stalled=count))

    def test_results(self):
        async def body():
            info, files, data, there = await asyncio.gather(
                self.hub.start_info("acme/small"), self.hub.start_list("acme/small"),
                self.hub.start_read("acme/small", "model.safetensors"), self.hub.start_exists("acme/small", "no.json"))
            self.assertEqual((info.id, there), ("acme/small", False))
            self.assertEqual(len(data), next(file.bytes for file in files if file.path == "model.safetensors"))
            return await self.hub.start_snapshot("acme/small")
        self.assertTrue(os.path.isdir(self.run_async(body)))

    def test_iteration(self):
        async def body():
            paths = [file.path async for file in self.hub.start_list("acme/small")]
            pieces = [piece async for piece in self.hub.start_read("acme/small", "model.safetensors")]
            return paths, b"".join(pieces)
        paths, data = self.run_async(body)
        self.assertEqual(paths, [file.path for file in self.hub.list("acme/small")])
        self.assertEqual(data, self.hub.read("acme/small", "model.safetensors"))

    def test_more_rows_than_fit_into_the_queue(self):
        """A result that is not the rows does not stall because nobody takes the rows."""
        files = {f"{number:05}.txt": {"text": str(number)} for number in range(1500)}
        self.simulator.put_repository({"id": "acme/many", "files": files})
        folder = self.folder()

        async def body():
            return await self.hub.start_snapshot("acme/many", folder=folder)
        self.run_async(body)
        self.assertEqual(len([name for name in os.listdir(folder) if name.endswith(".txt")]), 1500)

    def test_errors(self):
        async def body():
            with self.assertRaises(tenon.NotFoundError):
                await self.hub.start_download("acme/small", "no.json")
            return await asyncio.gather(
                self.hub.start_info("acme/none"), self.hub.start_info("acme/small"), return_exceptions=True)
        failed, info = self.run_async(body)
        self.assertIsInstance(failed, tenon.TenonError)
        self.assertEqual(info.id, "acme/small")

    def test_cancelling_cancels(self):
        self.stall()

        async def body():
            task = self.hub.start_snapshot("acme/small")
            waiter = asyncio.ensure_future(task)
            await self.stalled()
            waiter.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waiter
            return task.state()
        self.assertEqual(self.run_async(body), tenon.Status.ERROR_CANCELLED)

    def test_time_running_out_cancels(self):
        self.stall()

        async def body():
            task = self.hub.start_snapshot("acme/small")
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(task, 0.05)
            return task.state()
        self.assertEqual(self.run_async(body), tenon.Status.ERROR_CANCELLED)

    def test_somebody_else_cancels(self):
        self.stall()

        async def body():
            task = self.hub.start_snapshot("acme/small")
            waiter = asyncio.ensure_future(task)
            await self.stalled()
            task.cancel()
            with self.assertRaises(tenon.CancelledError):
                await waiter
        self.run_async(body)

    def test_closed_while_awaited(self):
        self.stall()

        async def body(close):
            task = self.hub.start_snapshot("acme/small")
            waiter = asyncio.ensure_future(task)
            await self.stalled()
            close(task)
            with self.assertRaises(tenon.MisuseError) as caught:
                await waiter
            self.simulator.clear_requests()
            return str(caught.exception)
        self.assertIn("Task is closed", self.run_async(lambda: body(lambda task: task.close())))
        self.assertIn("Context is closed", self.run_async(lambda: body(lambda task: task.context.close())))

    def test_a_blocking_call_in_between_loses_no_news(self):
        async def body():
            waiters = [asyncio.ensure_future(self.hub.start_exists("acme/small", f"file{number}")) for number in range(10)]
            await asyncio.sleep(0)
            self.hub.info("acme/small")
            return await asyncio.gather(*waiters)
        self.assertEqual(self.run_async(body), [False] * 10)

    def test_many_at_once(self):
        async def body():
            return await asyncio.gather(*[self.hub.start_exists("acme/small", "config.json") for _ in range(300)])
        self.assertEqual(self.run_async(body), [True] * 300)

    def test_two_event_loops(self):
        async def body():
            return [await self.hub.start_exists("acme/small", "config.json") for _ in range(20)]
        results = []
        threads = [threading.Thread(target=lambda: results.append(asyncio.run(body()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [[True] * 20] * 3)

    def test_while_a_thread_blocks(self):
        self.stall()
        task = self.hub.start_snapshot("acme/small")
        self.stalled_thread(task.result)

        async def body():
            return await self.hub.start_info("acme/small")
        self.assertEqual(self.run_async(body).id, "acme/small")
        task.cancel()


# ---- with this machine ----

@needs("tenon_accelerator_open", "tenon_accelerator_list", "tenon_accelerator_plan", "tenon_accelerator_fit")
class Accelerators(Case):
    def model(self):
        folder = self.folder()
        write_text(json.dumps(repositories.CONFIG), folder, "config.json")
        return folder

    def test_list_and_facts(self):
        context = self.context()
        machines = tenon.Accelerator.list("local", context=context)
        self.assertIn("local:cpu", [machine.name for machine in machines])
        accelerator = tenon.Accelerator("local:cpu", context=context)
        self.assertEqual(accelerator.facts().name, "local:cpu")
        self.assertIn("local:cpu", str(accelerator.facts()))

    def test_unknown_place(self):
        with self.assertRaises(tenon.UnsupportedError):
            tenon.Accelerator("moon:crater", context=self.context())

    def test_plan(self):
        offers = tenon.plan(self.model(), train="lora", context=self.context())
        self.assertTrue(offers)
        for offer in offers:
            self.assertIsInstance(offer, tenon.Offer)
            self.assertIn(offer.accelerator, str(offer))
            self.assertEqual(offer.memory[-1].item, "total")
            self.assertTrue(all(isinstance(reason, tenon.Reason) for reason in offer.reasons))

    def test_purposes(self):
        model = self.model()
        needed = {train: tenon.plan(model, train=train, context=self.context())[0].need_bytes for train in (None, "lora", True)}
        self.assertLess(needed[None], needed[True])
        self.assertLess(needed["lora"], needed[True])

    def test_fit(self):
        memory = tenon.Accelerator("local:cpu", context=self.context()).fit(self.model(), purpose="train")
        self.assertEqual(memory[-1].item, "total")


SERVER = '''
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        models = {"object": "list", "data": [{"id": "echo", "object": "model", "owned_by": "tests"}]}
        self.answer(json.dumps(models if self.path == "/v1/models" else {"status": "ok"}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = (asked.get("prompt") or asked["messages"][-1]["content"]).split()
        parts = [(word + " ", None) for word in words] + [("", "stop")]
        events = [{"choices": [{"index": 0, "finish_reason": reason,
                                **({"text": text} if "prompt" in asked else {"delta": {"content": text} if text else {}})}]}
                  for text, reason in parts]
        body = "".join(f"data: {json.dumps(event)}\\n\\n" for event in events) + "data: [DONE]\\n\\n"
        self.answer(body.encode(), "text/event-stream")

server = http.server.ThreadingHTTPServer((os.environ["TENON_HOST"], int(os.environ["TENON_PORT"])), Handler)
print("listening at", server.server_port, flush=True)
server.serve_forever()
'''

TRAINER = '''
import json, os
for step in range(1, 6):
    print(json.dumps({"step": step, "steps": 5, "loss": 5.0 / step}), flush=True)
open(os.path.join(os.environ["TENON_OUTPUT"], "model.txt"), "w").write("trained")
'''


@needs("tenon_inference_chat", "tenon_inference_complete", "tenon_inference_models")
class Inference(Case):
    """A server at an address."""

    def setUp(self):
        self.where = self.context()
        environment = {**os.environ, "TENON_HOST": "127.0.0.1", "TENON_PORT": "0"}
        server = subprocess.Popen([PYTHON_PROGRAM, "-c", SERVER], env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.address = f"http://127.0.0.1:{server.stdout.readline().split()[-1]}/v1"

    def test_pieces(self):
        pieces = list(tenon.Inference.chat(self.address, prompt="one two", context=self.where))
        self.assertEqual("".join(map(str, pieces)), "one two ")
        self.assertEqual({piece.kind for piece in pieces}, {tenon.PieceKind.TEXT, tenon.PieceKind.STOP})
        self.assertIsNone(pieces[0].prompt_tokens)

    def test_the_whole_answer(self):
        answer = tenon.Inference.chat(self.address, messages=[{"role": "user", "content": "ä b"}], parameters={"seed": 1},
                                      context=self.where)
        self.assertEqual(answer.result(), "ä b ")
        self.assertEqual(answer.text, "ä b ")

    def test_completion(self):
        self.assertEqual(tenon.Inference.complete(self.address, prompt="a b", context=self.where).result(), "a b ")

    def test_models(self):
        self.assertEqual([str(model) for model in tenon.Inference.models(self.address, context=self.where)], ["echo"])

    def test_asyncio(self):
        async def body():
            task = tenon.Inference.chat(self.address, prompt="x y z", context=self.where)
            return [piece.text async for piece in task if piece.text], await task
        self.assertEqual(asyncio.run(body()), (["x ", "y ", "z "], "x y z "))


@needs("tenon_job_train", "tenon_job_serve", "tenon_job_wait", "tenon_job_stop")
class Jobs(Case):
    """The dream program, with small programs of the tests' own."""

    def setUp(self):
        self.where = self.context()
        self.where.set("job.folder", self.folder())
        self.where.set("job.path", "/usr/bin:/bin")

    def recipe(self, program, **more):
        path = os.path.join(self.folder(), "program.py")
        write_text(program, path)
        return {"command": [PYTHON_PROGRAM, path], **more}

    def train(self, program=TRAINER, **options):
        job = tenon.train(recipe=self.recipe(program), on="local:cpu", context=self.where, **options)
        self.addCleanup(self.end, job)
        return job

    @staticmethod
    def end(job):
        """Leaves nothing running, also when the test failed."""
        with contextlib.suppress(tenon.NotFoundError, tenon.MisuseError):
            job.stop(force=True)

    def test_training(self):
        job = self.train(name="first", labels={"team": "a"})
        losses = [metric.loss for metric in job.metrics(follow=True)]
        self.assertEqual(losses, [5.0 / step for step in range(1, 6)])
        job.wait()
        report = job.status()
        self.assertEqual((report.state, report.name, report.exit_code, report.mode),
                         (tenon.JobState.SUCCEEDED, "first", 0, tenon.Mode.TRAIN))
        self.assertEqual([file.path for file in job.outputs()], ["model.txt"])
        self.assertEqual(len(list(job.logs())), 5)
        self.assertEqual(str(list(job.logs(last=1))[0]), json.dumps({"step": 5, "steps": 5, "loss": 1.0}))
        job.remove()

    def test_opened_again(self):
        job = self.train()
        again = tenon.Job(job.id, context=self.where)
        again.wait("succeeded")
        self.assertIn(job.id, [row.id for row in tenon.Job.list(context=self.where)])

    def test_a_failure_explains_itself(self):
        job = self.train("raise SystemExit('no luck')")
        with self.assertRaises(tenon.FailedError) as caught:
            job.wait()
        report = job.status()
        self.assertEqual((report.state, report.cause, report.exit_code), (tenon.JobState.FAILED, tenon.Cause.USER_CODE, 1))
        self.assertEqual(caught.exception.message, report.message)
        self.assertIn("no luck", report.last_lines)

    def test_watching(self):
        states = [report.state for report in self.train().watch()]
        self.assertEqual(states, sorted(states))
        self.assertEqual(states[-1], tenon.JobState.SUCCEEDED)

    def test_asyncio(self):
        async def body():
            job = tenon.Job.train(recipe=self.recipe(TRAINER), accelerator="local:cpu", context=self.where)
            self.addCleanup(self.end, job)
            lines = [line.text async for line in job.start_logs(follow=True)]
            await job.start_wait("succeeded")
            return lines
        self.assertEqual(len(asyncio.run(body())), 5)

    @needs("tenon_inference_chat", "tenon_inference_complete", "tenon_inference_models")
    def test_serving(self):
        with tenon.serve(recipe=self.recipe(SERVER, health="/health", port=0), on="local:cpu", context=self.where) as job:
            self.assertEqual("".join(str(piece) for piece in job.chat("why is the sky blue")), "why is the sky blue ")
            self.assertEqual(job.chat(messages=[{"role": "user", "content": "one two"}]).result(), "one two ")
            self.assertEqual(job.complete("a b c", max_tokens=5).result(), "a b c ")
            self.assertEqual([str(model) for model in job.models()], ["echo"])
            self.assertTrue(next(job.logs()).text.startswith("listening at"))
            identity = job.id
        self.assertTrue(job.closed)
        again = tenon.Job(identity, context=self.where)
        self.assertIn(again.status().state, (tenon.JobState.CANCELLED, tenon.JobState.SUCCEEDED))

    @needs("tenon_inference_chat")
    def test_a_server_that_never_starts_is_an_error(self):
        with self.assertRaises(tenon.FailedError):
            tenon.serve(recipe=self.recipe("raise SystemExit(3)", health="/health", port=0), on="local:cpu", context=self.where)


@needs("tenon_hub_snapshot", "tenon_accelerator_plan", "tenon_job_serve", "tenon_inference_chat")
class Introduction(Case):
    """The program that the package's own documentation begins with, with the names of what exists here."""

    def test_it_runs(self):
        home, program = self.folder(), os.path.join(self.folder(), "server.py")
        write_text(SERVER, program)
        recipe = {"command": [PYTHON_PROGRAM, program], "health": "/health", "port": 0}
        code = textwrap.dedent(re.search(r"\n((?:    .*\n)+)", tenon.__doc__)[1])
        code = code.replace("google/gemma-2-2b-it", "acme/small").replace('on="local")', f'on="local:cpu", recipe={recipe!r})')
        with Simulator("hub") as simulator:
            simulator.put_repository(repositories.small_model("acme/small"))
            result = run_python(code, HOME=home, HF_ENDPOINT=simulator.url, HF_HOME=os.path.join(home, "hf"), HF_TOKEN=None,
                                TENON_JOBS=os.path.join(home, "jobs"))
        *offers, answer = result.stdout.splitlines()
        self.assertEqual((result.returncode, answer), (0, "Why is the sky blue? "), result.stderr)
        self.assertIn("local:cpu", " ".join(offers))


if __name__ == "__main__":
    suite.main()
