"""The little of libtenon that the tests of jobs need, straight by ctypes, so that they stand on nothing but the header."""

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_int32, c_int64, c_uint32, c_void_p, sizeof

OK, AGAIN, DONE = 0, 1, 2
ARGUMENT, CANCELLED, NOT_FOUND, CONFLICT, BUSY, FAILED, UNSUPPORTED = -1, -4, -12, -14, -24, -25, -26
SUBMITTING, QUEUED, STARTING, RUNNING, STOPPING, SUCCEEDED, FAILED_STATE, CANCELLED_STATE = 10, 20, 30, 40, 50, 60, 70, 80
TRAIN, SERVE = 1, 2
CAUSES = ["none", "input", "refused", "program", "user code", "memory", "time", "disk", "port", "health", "signal", "output",
          "lost"]


class Row(Structure):
    """A struct of the header: its first field is its size."""

    def __init__(self, **fields):
        super().__init__(struct_size=0)
        self.struct_size = sizeof(self)
        for name, value in fields.items():
            setattr(self, name, value)

    def copy(self):
        """Its values as plain Python, with text decoded, so that they outlive the row."""
        values = {}
        for name, _ in self._fields_:
            value = getattr(self, name)
            values[name] = value.decode() if isinstance(value, bytes) else value
        return type("Values", (), values)()


def row(name, *fields):
    return type(name, (Row,), {"_fields_": [("struct_size", c_uint32), *fields]})


Text, Number, Wide, Real = c_char_p, c_int32, c_int64, c_double
ContextOptions = row("ContextOptions", ("flags", c_uint32), ("allocator", c_void_p), ("logger", c_void_p), ("clock", c_void_p),
                     ("settings", POINTER(Text)))
Error = row("Error", ("status", Number), ("message", Text), ("hint", Text), ("code", Text), ("request_id", Text),
            ("http_status", Number), ("system_error", Number), ("retry_after_ms", Wide))
JobOptions = row("JobOptions", ("threads", Number), ("model", Text), ("revision", Text), ("accelerator", Text), ("recipe", Text),
                 ("data", Text), ("output", Text), ("name", Text), ("key", Text), ("hub", c_void_p), ("labels", POINTER(Text)),
                 ("environment", POINTER(Text)), ("expiry_ms", Wide), ("memory_bytes", Wide), ("port", Number), ("reserved", Number),
                 ("context_tokens", Wide), ("sequences", Wide), ("file", Text))
Report = row("Report", ("state", Number), ("id", Text), ("name", Text), ("model", Text), ("accelerator", Text), ("stage", Text),
             ("address", Text), ("output", Text), ("message", Text), ("hint", Text), ("last_lines", Text), ("place_state", Text),
             ("json", Text), ("submitted_ms", Wide), ("started_ms", Wide), ("ended_ms", Wide), ("peak_memory_bytes", Wide),
             ("mode", Number), ("cause", Number), ("exit_code", Number), ("signal", Number), ("process", Number),
             ("retry_helps", Number))
ListOptions = row("ListOptions", ("mode", Number), ("place", Text), ("label", Text), ("alive", Number), ("reserved", Number))
FollowOptions = row("FollowOptions", ("follow", Number), ("last", Wide))
LogLine = row("LogLine", ("replica", Number), ("text", Text), ("time_ms", Wide), ("number", Wide))
Metric = row("Metric", ("reserved", c_uint32), ("json", Text), ("step", Wide), ("steps", Wide), ("time_ms", Wide), ("loss", Real),
             ("learning_rate", Real), ("epoch", Real), ("gradient_norm", Real), ("tokens_per_second", Real),
             ("evaluation_loss", Real))
File = row("File", ("kind", Number), ("path", Text), ("repository", Text), ("commit", Text), ("etag", Text), ("local_path", Text),
           ("json", Text), ("bytes", Wide), ("modified_ms", Wide), ("content", Number), ("reserved", Number))
Check = row("Check", ("answer", Number), ("name", Text), ("message", Text), ("fix", Text))
StopOptions = row("StopOptions", ("force", Number), ("grace_ms", Wide))

PATH = os.path.join(os.environ.get("TENON_BUILD", ""), "lib", "libtenon.so")
library = ctypes.CDLL(PATH)


def declare(name, *arguments, result=c_int32):
    function = getattr(library, name)
    function.argtypes = arguments
    function.restype = result
    return function


Handle, Out = c_void_p, POINTER(c_void_p)
context_open = declare("tenon_context_open", POINTER(ContextOptions), Out)
context_free = declare("tenon_context_free", Handle, result=None)
context_error = declare("tenon_context_error", Handle, POINTER(Error))
context_step = declare("tenon_context_step", Handle, Wide)
job_functions = {True: declare("tenon_job_serve", Handle, POINTER(JobOptions), Out),
                 False: declare("tenon_job_train", Handle, POINTER(JobOptions), Out)}
job_open = declare("tenon_job_open", Handle, Text, Out)
job_free = declare("tenon_job_free", Handle, result=None)
job_id = declare("tenon_job_id", Handle, POINTER(Text))
job_api_key = declare("tenon_job_api_key", Handle, POINTER(Text))
job_status = declare("tenon_job_status", Handle, POINTER(Report))
job_wait = declare("tenon_job_wait", Handle, Number, Out)
job_watch = declare("tenon_job_watch", Handle, Out)
job_list = declare("tenon_job_list", Handle, POINTER(ListOptions), Out)
job_logs = declare("tenon_job_logs", Handle, POINTER(FollowOptions), Out)
job_metrics = declare("tenon_job_metrics", Handle, POINTER(FollowOptions), Out)
job_outputs = declare("tenon_job_outputs", Handle, Out)
job_stop = declare("tenon_job_stop", Handle, POINTER(StopOptions), Out)
job_remove = declare("tenon_job_remove", Handle, Out)
accelerator_open = declare("tenon_accelerator_open", Handle, Text, Out)
accelerator_free = declare("tenon_accelerator_free", Handle, result=None)
accelerator_check = declare("tenon_accelerator_check", Handle, Out)
task_wait = declare("tenon_task_wait", Handle, Wide)
task_error = declare("tenon_task_error", Handle, POINTER(Error))
task_text = declare("tenon_task_text", Handle, POINTER(Text))
task_json = declare("tenon_task_json", Handle, POINTER(Text))
task_cancel = declare("tenon_task_cancel", Handle, result=None)
task_free = declare("tenon_task_free", Handle, result=None)
hub_open = declare("tenon_hub_open", Handle, Text, c_void_p, Out)
hub_free = declare("tenon_hub_free", Handle, result=None)
NEXT = {row_type: declare(f"tenon_task_next_{word}", Handle, Wide, POINTER(row_type))
        for row_type, word in ((Report, "report"), (LogLine, "log_line"), (Metric, "metric"), (File, "file"), (Check, "check"))}


class TenonError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.status}: {error.message} [{error.hint}]")
        self.error = error
        self.status, self.message, self.hint = error.status, error.message, error.hint


def texts(items):
    return (c_char_p * (len(items) + 1))(*[item.encode() for item in items], None) if items else None


class Task:
    """A task that yields rows of one kind, or none."""

    def __init__(self, handle, row_type=None):
        self.handle, self.row_type = handle, row_type

    def _check(self, status):
        if status < 0:
            error = Error()
            task_error(self.handle, byref(error))
            raise TenonError(error.copy())
        return status

    def next(self, timeout_ms=-1):
        """The next row; None when there is none within the time; StopIteration at the end."""
        found = self.row_type()
        status = self._check(NEXT[self.row_type](self.handle, timeout_ms, byref(found)))
        if status == DONE:
            raise StopIteration
        return found.copy() if status == OK else None

    def __iter__(self):
        while True:
            try:
                yield self.next()
            except StopIteration:
                return

    def wait(self, timeout_ms=-1):
        return self._check(task_wait(self.handle, timeout_ms))

    def text(self):
        text = Text()
        self._check(task_text(self.handle, byref(text)))
        return text.value.decode()

    def json(self):
        text = Text()
        self._check(task_json(self.handle, byref(text)))
        return text.value.decode()

    def cancel(self):
        task_cancel(self.handle)

    def close(self):
        task_free(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Job:
    def __init__(self, context, handle):
        self.context, self.handle = context, handle
        context.jobs.append(self)
        text = Text()
        context.check(job_id(handle, byref(text)))
        self.id = text.value.decode()

    def start(self, function, *arguments, row_type=None):
        handle = c_void_p()
        self.context.check(function(self.handle, *arguments, byref(handle)))
        return Task(handle, row_type)

    def run(self, function, *arguments):
        with self.start(function, *arguments) as task:
            task.wait()
            return task.text()

    def status(self):
        report = Report()
        self.context.check(job_status(self.handle, byref(report)))
        return report.copy()

    def api_key(self):
        key = Text()
        self.context.check(job_api_key(self.handle, byref(key)))
        return key.value.decode()

    def wait(self, until=SUCCEEDED):
        return self.run(job_wait, until)

    def end(self):
        """Waits for the end, however it ends, and gives the last report."""
        try:
            self.wait()
        except TenonError:
            pass
        return self.status()

    def watch(self):
        return self.start(job_watch, row_type=Report)

    def logs(self, follow=False, last=0):
        return self.start(job_logs, byref(FollowOptions(follow=follow, last=last)), row_type=LogLine)

    def metrics(self, follow=False, last=0):
        return self.start(job_metrics, byref(FollowOptions(follow=follow, last=last)), row_type=Metric)

    def lines(self, **options):
        with self.logs(**options) as task:
            return [line.text for line in task]

    def outputs(self):
        with self.start(job_outputs, row_type=File) as task:
            return list(task), task.text()

    def stop(self, force=False, grace_ms=0):
        return self.run(job_stop, byref(StopOptions(force=force, grace_ms=grace_ms)))

    def remove(self):
        return self.run(job_remove)

    def close(self):
        job_free(self.handle)
        self.handle = None


class Context:
    def __init__(self, *settings, environment=True):
        options = ContextOptions(flags=0 if environment else 1, settings=texts(list(settings)))
        self.handle = c_void_p()
        self.jobs = []
        status = context_open(byref(options), byref(self.handle))
        if status < 0:
            raise RuntimeError(f"tenon_context_open: {status}")

    def check(self, status):
        if status < 0:
            error = Error()
            context_error(self.handle, byref(error))
            raise TenonError(error.copy())
        return status

    def submit(self, serve=False, labels=(), environment=(), **options):
        for name, value in options.items():
            if isinstance(value, str):
                options[name] = value.encode()
        given = JobOptions(labels=texts(list(labels)), environment=texts(list(environment)), **options)
        handle = c_void_p()
        self.check(job_functions[serve](self.handle, byref(given), byref(handle)))
        return Job(self, handle)

    def open(self, name):
        handle = c_void_p()
        self.check(job_open(self.handle, name.encode(), byref(handle)))
        return Job(self, handle)

    def list(self, **options):
        for name, value in options.items():
            if isinstance(value, str):
                options[name] = value.encode()
        handle = c_void_p()
        self.check(job_list(self.handle, byref(ListOptions(**options)), byref(handle)))
        with Task(handle, Report) as task:
            return list(task)

    def checks(self, name="local"):
        accelerator, handle = c_void_p(), c_void_p()
        self.check(accelerator_open(self.handle, name.encode(), byref(accelerator)))
        self.check(accelerator_check(accelerator, byref(handle)))
        accelerator_free(accelerator)
        with Task(handle, Check) as task:
            return list(task)

    def step(self, timeout_ms):
        return self.check(context_step(self.handle, timeout_ms))

    def close(self):
        """Gives back the context and its jobs; what they run goes on."""
        for job in self.jobs:
            job.close()
        context_free(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
