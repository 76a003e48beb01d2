"""Models are sized over HTTP from some kilobytes of headers, whatever the server does. TENON_BUILD names the build folder."""

import ctypes
import json
import os
import sys
import tempfile
import unittest
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_uint32, c_void_p

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import repositories  # noqa: E402
import suite  # noqa: E402
from simulator import Simulator  # noqa: E402

ARGUMENT, OFFLINE, UNAUTHORIZED, GATED, NOT_FOUND, DOES_NOT_FIT, PROTOCOL = -1, -6, -9, -11, -12, -18, -21
GIB = 1 << 30


class ContextOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("allocator", c_void_p), ("logger", c_void_p), ("clock", c_void_p),
                ("settings", POINTER(c_char_p))]


class Error(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("message", c_char_p), ("hint", c_char_p), ("code", c_char_p),
                ("request_id", c_char_p), ("http_status", c_int32), ("system_error", c_int32), ("retry_after_ms", c_int64)]


class PlanOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("purpose", c_int32), ("hub", c_void_p), ("revision", c_char_p), ("file", c_char_p),
                ("context_tokens", c_int64), ("sequences", c_int64), ("lora_rank", c_int64)]


library = ctypes.CDLL(os.path.join(os.environ["TENON_BUILD"], "lib", "libtenon.so"))
Handle, Out = c_void_p, POINTER(c_void_p)
for name, arguments in {
    "tenon_context_open": [POINTER(ContextOptions), Out], "tenon_context_free": [Handle],
    "tenon_context_error": [Handle, POINTER(Error)], "tenon_task_free": [Handle],
    "tenon_task_wait": [Handle, c_int64], "tenon_task_error": [Handle, POINTER(Error)], "tenon_task_json": [Handle, POINTER(c_char_p)],
    "tenon_accelerator_plan": [Handle, c_char_p, POINTER(PlanOptions), Out],
    "tenon_hub_open": [Handle, c_char_p, c_void_p, Out], "tenon_hub_free": [Handle],
    "tenon_hub_download": [Handle, c_char_p, c_char_p, c_void_p, Out],
}.items():
    getattr(library, name).argtypes = arguments


class Failed(Exception):
    def __init__(self, ask, handle):
        error = Error(struct_size=ctypes.sizeof(Error))
        ask(handle, byref(error))
        self.status, self.message, self.hint = error.status, error.message.decode(), error.hint.decode()
        super().__init__(f"{self.status}: {self.message} {self.hint}")


class Tenon:
    """A context with its own cache folder."""

    def __init__(self, url, folder, **settings):
        rows = {"hub.endpoint": url, "hub.cache": folder, "hub.token": "hf_good", "transport.backoff_ms": "1"}
        rows.update({key.replace("_", ".", 1): value for key, value in settings.items()})
        texts = (c_char_p * (len(rows) + 1))(*[f"{key}={value}".encode() for key, value in rows.items()], None)
        options = ContextOptions(struct_size=ctypes.sizeof(ContextOptions), flags=1, settings=texts)
        self.context = c_void_p()
        assert library.tenon_context_open(byref(options), byref(self.context)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        library.tenon_context_free(self.context)

    def plan(self, model, **values):
        """The facts of a model, as a plan found them."""
        options = PlanOptions(struct_size=ctypes.sizeof(PlanOptions), **values)
        task, text = c_void_p(), c_char_p()
        if library.tenon_accelerator_plan(self.context, model.encode(), byref(options), byref(task)) != 0:
            raise Failed(library.tenon_context_error, self.context)
        try:
            if library.tenon_task_wait(task, -1) != 0:
                raise Failed(library.tenon_task_error, task)
            library.tenon_task_json(task, byref(text))
            return json.loads(text.value)
        finally:
            library.tenon_task_free(task)

    def download(self, repository, path):
        hub = c_void_p()
        assert library.tenon_hub_open(self.context, None, None, byref(hub)) == 0
        status = library.tenon_hub_download(hub, repository.encode(), path.encode(), None, None)
        library.tenon_hub_free(hub)
        assert status == 0, status


class RemoteModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hub = Simulator("hub")
        cls.addClassCleanup(cls.hub.stop)
        for one in repositories.every():
            cls.hub.put_repository(one)
        huge = {f"layers.{one}.weight": ("BF16", [1 << 20, 1 << 18]) for one in range(2)}
        cls.hub.put_repository({"id": "acme/huge", "files": {
            "config.json": json.dumps(repositories.CONFIG), "model.safetensors": repositories.safetensors(huge, sha256="0" * 64)}})
        cls.hub.put_repository({"id": "acme/gguf", "files": {
            "README.md": "# GGUF\n", "model-Q8_0.gguf": repositories.gguf(100000, 1 << 20)}})
        long_names = {f"model.layers.{one}.a.rather.long.name.of.a.tensor.weight": ("BF16", [2]) for one in range(3000)}
        cls.hub.put_repository({"id": "acme/long", "files": {
            "config.json": json.dumps(repositories.CONFIG), "model.safetensors": repositories.safetensors(long_names)}})

    def setUp(self):
        self.hub.clear()
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def tenon(self, **settings):
        return Tenon(self.hub.url, self.folder, **settings)

    def fails(self, model, status, words, **settings):
        with self.tenon(**settings) as tenon, self.assertRaises(Failed) as caught:
            tenon.plan(model)
        self.assertEqual(caught.exception.status, status, str(caught.exception))
        self.assertIn(words, str(caught.exception))

    def sent(self):
        """Bytes of files that the server gave away; not its listings."""
        return sum(one["sent"] for one in self.hub.requests() if one["file"])

    def test_terabyte(self):
        with self.tenon() as tenon:
            facts = tenon.plan("acme/huge")
        self.assertEqual(facts["weights_bytes"], 1 << 40)
        self.assertEqual(facts["parameters"], 1 << 39)
        self.assertEqual(facts["layers"], 2)
        self.assertEqual(facts["files"], ["config.json", "model.safetensors"])
        self.assertLess(self.sent(), 200000)
        self.assertLess(facts["bytes_read"], 200000)
        self.assertEqual(self.hub.violations(), [])

    def test_shards(self):
        with self.tenon() as tenon:
            facts = tenon.plan("acme/sharded")
        self.assertEqual(facts["parameters"], 64 * 64 + 64 + 128 * 64)
        self.assertEqual(facts["dtypes"], {"BF16": {"elements": 12352, "bytes": 24704}})
        shards = [one for one in self.hub.requests(method="GET", origin="hub") if "-of-00002" in one["path"]]
        self.assertEqual(len(shards), 2)

    def test_long_header(self):
        """A header beyond the first range costs one more request, not more."""
        with self.tenon() as tenon:
            facts = tenon.plan("acme/long")
        self.assertEqual(facts["tensors"], 3000)
        reads = [one for one in self.hub.requests(method="GET", origin="hub") if one["path"].endswith("model.safetensors")]
        self.assertEqual(len(reads), 2)
        self.assertEqual(reads[0]["range"], "bytes=0-99999")
        self.assertTrue(reads[1]["range"].startswith("bytes=100000-"))

    def test_gguf(self):
        with self.tenon() as tenon:
            facts = tenon.plan("acme/gguf")
        self.assertEqual(facts["weights_bytes"], 2 << 20)
        self.assertEqual(facts["vocab"], 100000)
        self.assertEqual(facts["kv_bytes_per_token"], 22 * 2 * 4 * 64 * 2)

    def test_ranges_ignored(self):
        self.hub.faults({"origin": "cdn", "ignore_range": True})
        with self.tenon() as tenon:
            facts = tenon.plan("acme/long")
        self.assertEqual(facts["tensors"], 3000)

    def test_wrong_range(self):
        self.hub.faults({"origin": "cdn", "wrong_range": {"shift": 5}})
        self.fails("acme/small", PROTOCOL, "range")

    def test_cut_and_busy(self):
        """A line that breaks and a server that is busy are survived."""
        self.hub.faults({"origin": "cdn", "cut": {"after": 50000}, "times": 1},
                        {"path": "config.json", "status": 503, "times": 2})
        with self.tenon() as tenon:
            facts = tenon.plan("acme/long")
        self.assertEqual(facts["tensors"], 3000)

    def test_refusals(self):
        self.fails("acme/gated", GATED, "acme/gated", hub_token="hf_read")
        self.fails("acme/no-such-model", NOT_FOUND, "no-such-model")
        self.fails("acme/data", NOT_FOUND, "acme/data")
        self.fails("acme/many", NOT_FOUND, "no header")
        self.fails("acme/small@no-such-branch", NOT_FOUND, "no-such-branch")
        self.fails("acme/../small", ARGUMENT, "acme/../small")

    def test_hostile_index(self):
        for name in ("../../../etc/passwd", "/etc/passwd", "..\\x", "a/../../b"):
            with self.subTest(name):
                self.hub.put_repository({"id": "acme/hostile", "files": {
                    "config.json": json.dumps(repositories.CONFIG),
                    "model.safetensors.index.json": json.dumps({"weight_map": {"a": name}})}})
                self.hub.clear_requests()
                self.fails("acme/hostile", PROTOCOL, "names the file")
                self.assertFalse([one for one in self.hub.requests() if "passwd" in one["path"]])

    def test_hostile_listing(self):
        self.hub.faults({"path": "/tree/", "names": ["../model.gguf"]})
        self.fails("acme/small", PROTOCOL, "model.gguf")

    def test_hostile_config(self):
        for content, words in (({"text": "[" * 100000}, "nested"), ({"text": "{"}, "not valid JSON"), ({"text": "[]"}, "no JSON object"),
                               ({"size": 40 << 20, "seed": "large"}, "larger than")):
            with self.subTest(words):
                self.hub.clear()
                self.hub.faults({"path": "config.json", "other_content": content})
                self.fails("acme/small", PROTOCOL, words)
                self.assertLess(self.sent(), 8 << 20)

    def test_offline(self):
        self.fails("acme/small", OFFLINE, "offline", hub_offline="1")
        # Another client's cache has the files, but perhaps no listing.
        with self.tenon() as tenon:
            tenon.download("acme/small", "config.json")
            tenon.download("acme/small", "model.safetensors")
        for folder, _, names in os.walk(self.folder):
            if "trees" in folder.split(os.sep):
                for name in names:
                    os.unlink(os.path.join(folder, name))
        self.hub.clear_requests()
        with self.tenon(hub_offline="1") as tenon:
            facts = tenon.plan("acme/small")
        self.assertEqual(facts["tensors"], 3)
        self.assertEqual(facts["hidden"], 64)
        self.assertEqual(self.hub.requests(), [])

    def test_revision(self):
        with self.tenon() as tenon:
            commit = tenon.plan("acme/small@v1.0")["revision"]
            self.assertRegex(commit, "^[0-9a-f]{40}$")
            self.assertEqual(tenon.plan("acme/small", revision=commit.encode())["revision"], commit)
        # Everything after the listing is asked of that commit.
        for one in self.hub.requests(method="GET"):
            if "/resolve/" in one["path"]:
                self.assertIn(f"/resolve/{commit}/", one["path"])


if __name__ == "__main__":
    suite.main()
