"""tenon joins an open model on a hub, an accelerator, and the job that trains or serves the one on the other.

    import tenon
    hub = tenon.Hub()
    folder = hub.snapshot("google/gemma-2-2b-it", allow=["*.json", "*.safetensors"])
    for offer in tenon.plan(folder, train="lora"):
        print(offer)
    with tenon.serve(folder, on="local") as job:
        for piece in job.chat("Why is the sky blue?"):
            print(piece, end="", flush=True)

Every method that may wait has a twin that begins with start_ and returns a Task: `await hub.start_snapshot(...)`, `for row in
task`, `async for row in task`, task.progress(), task.cancel(). Whatever fails raises a TenonError, of a class for each status.
"""

from typing import Any, List, Optional, Union

from . import _abi, _api
from ._abi import *  # noqa: F403  the constants, the rows and the errors
from ._abi import FailedError, JobState, Model, Offer, Piece, Purpose
from ._api import Accelerator, Context, Hub, Inference, Task, settings, status_name, version
from ._base import Row, TenonError
from ._values import Document, Text

__all__ = ["Accelerator", "Context", "Hub", "Inference", "Job", "Row", "Server", "Task", "TenonError", "plan", "serve",
           "settings", "status_name", "train", "version"]
__all__ += _abi.__all__
__version__ = version()


class Job(_api.Job):
    """One run, train or serve, of a model on an accelerator."""

    def wait(self, until: Union[JobState, int, str] = JobState.SUCCEEDED) -> str:
        """Wait for the end of a job, or until it has reached a state; returns its address if it serves.

        until: a JobState or its name, such as "running"
        FailedError: the job failed; message and hint are its own explanation
        CancelledError: the job was stopped
        """
        return super().wait(until)

    def chat(self, prompt: Optional[Text] = None, **options: Any) -> "Task[Piece, str]":
        """Ask the model that the job serves: iterate the pieces of the answer, or take the whole with result().

        prompt: what the user says
        options: those of Inference.chat()
        """
        return Inference.chat(self.id, prompt=prompt, context=self._where, **options)

    def complete(self, prompt: Text, **options: Any) -> "Task[Piece, str]":
        """Have the model that the job serves continue a text.

        prompt: the text
        options: those of Inference.complete()
        """
        return Inference.complete(self.id, prompt=prompt, context=self._where, **options)

    def models(self) -> List[Model]:
        """The models that the job serves."""
        return Inference.models(self.id, context=self._where)

    @property
    def _where(self) -> Context:
        assert isinstance(self.context, Context)
        return self.context


class Server(Job):
    """A job that serves. As a context manager it is stopped at the end."""

    def __exit__(self, *error: Any) -> None:
        self.stop()
        self.close()


def plan(model: Text, *, train: Union[None, bool, str] = None, **options: Any) -> List[Offer]:
    """Rank the accelerators within reach for a model, best first. Planning spends nothing.

    model: a repository, a folder or a file
    train: None to serve it, "lora" to train adapters, True or "full" to train all of it
    options: those of Accelerator.plan(), such as context_tokens
    """
    if train:
        options["purpose"] = Purpose.TRAIN if train in (True, "full") else train
    return Accelerator.plan(model, **options)


def train(model: Optional[Text] = None, *, recipe: Document, on: Text = "local", **options: Any) -> Job:
    """Train a model; returns as soon as the job is submitted. It goes on when this process ends.

    A job that could not be submitted raises FailedError; of one that fails later job.wait() does.

    model: a repository, a folder or a file
    recipe: what to run: path of a JSON file, JSON, or a dict
    on: where, such as "local" or "local:cuda:0"
    options: those of Job.train(), such as data, output, key
    """
    job = Job.train(model=model, recipe=recipe, accelerator=on, **options)
    try:
        job.wait(JobState.QUEUED)
    except FailedError:
        if job.status().started_ms is None:
            raise
    return job


def serve(model: Optional[Text] = None, *, on: Text = "local", **options: Any) -> Server:
    """Serve a model; returns when it answers. `with tenon.serve(...) as job` stops it at the end.

    model: a repository, a folder or a file
    on: where, such as "local" or "local:cuda:0"
    options: those of Job.serve(), such as recipe, port
    """
    server = Server.serve(model=model, accelerator=on, **options)
    try:
        server.wait(JobState.RUNNING)
    except BaseException:
        server.stop()
        raise
    return server
