"""A real model on a real engine: SmolLM2-135M-Instruct comes from a hub that is a folder, is sized by its header, and is served by
llama.cpp's llama-server, without a recipe: tenon finds it in PATH. It is asked by tenon, from Python and by the tool, and by
OpenAI's own client. Text is asserted with 16 bits and temperature 0, where a model of this size says the same each time."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "support"), os.path.join(TESTS, "bindings"), os.path.join(TESTS, "cli")]

import environments

try:
    sys.path.insert(0, environments.openai())  # before the system's own packages, which are older
    import openai
    no_openai = None
except environments.Missing as missing:
    no_openai = f"the client is not there: {missing}"

import package
import suite
import tenon
from simulator import Simulator
from tenon import Cause, JobState, PieceKind
from tool import Place

MODEL = "ggml-org/SmolLM2-135M-Instruct-GGUF"
WEIGHTS = "SmolLM2-135M-Instruct.F16.gguf"
CONTEXT, SEQUENCES = 512, 2
PATIENCE = 120  # seconds; only a test that hangs ever waits so long
CAPITAL = "What is the capital of France?"
EXACT = {"temperature": 0}
ENDLESS = {"temperature": 0, "ignore_eos": True}
# A chat template with tools, which the model's own has not. A call begins with a mark that is one token of this model.
TOOLS = """{%- if tools %}<|im_start|>system
The functions that you may call are:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] %}{{ message['content'] }}{% endif %}
{%- for call in message['tool_calls'] or [] %}
{{- '<jupyter_code>{"name": ' }}{{ call['function']['name'] | tojson }}
{{- ', "arguments": ' }}{{ call['function']['arguments'] | tojson }}{{ '}<jupyter_output>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather at a place", "parameters": {
        "type": "object", "required": ["place", "unit"], "additionalProperties": False,
        "properties": {"place": {"enum": ["Ulm", "Bern"]}, "unit": {"enum": ["celsius", "fahrenheit"]}}}}}


WORDS = [{"role": "user", "content": "one two three four"}]
SHORT = {"messages": WORDS, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
QUESTIONS = [("/health", None), ("/v1/models", None), ("/v1/models/x", None), ("/v1/nothing", {}), ("/v1/chat/completions", None),
             *[("/v1/chat/completions", body) for body in (
                 b"{,}", b"[]", {}, {"messages": 7}, {"messages": [{"content": "x"}]}, {**SHORT, "n": 0}, {**SHORT, "n": 100},
                 {**SHORT, "messages": [{"role": "king", "content": "x"}]},
                 {**SHORT, "messages": [{"role": "user", "content": None}]},
                 {**SHORT, "temperature": "hot"}, {**SHORT, "tools": [{"type": "function"}]}, {**SHORT, "colour": "red"},
                 {**SHORT, "model": "other/model"}, {"messages": [{"role": "user", "content": "word " * 2 * CONTEXT}]},
                 SHORT, {**SHORT, "stream": True}, {**SHORT, "stream": True, "stream_options": {"include_usage": True}})],
             *[("/v1/completions", body) for body in (
                 {}, {"prompt": "", "max_tokens": 2}, {"prompt": "one two", "max_tokens": 4, "ignore_eos": True},
                 {"prompt": "one two three", "max_tokens": 4, "stream": True, "ignore_eos": True})]]
# What tenon and its users look at.
MEMBERS = {"status", "object", "data", "models", "id", "name", "model", "owned_by", "meta", "n_ctx", "n_params", "created",
           "choices", "index", "message", "delta", "role", "content", "text", "finish_reason", "usage", "prompt_tokens",
           "completion_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens", "timings", "system_fingerprint"}

hub = place = engine = None


def setUpModule():
    """A hub with the model in two quantizations, of which tenon is to take the better one."""
    global hub, place, engine
    try:
        engine, given = environments.llama(), environments.smollm2()
    except environments.Missing as reason:
        raise unittest.SkipTest(f"llama-server or its model is not there: {reason}") from None
    place = Place()
    unittest.addModuleCleanup(place.remove)
    hub = place.path("hub")
    folder = os.path.join(hub, MODEL)
    os.makedirs(folder)
    shutil.copy(given, folder)
    subprocess.run([os.path.join(engine, "llama-quantize"), "--allow-requantize", given, os.path.join(folder, WEIGHTS), "F16", "1"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write("---\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n# SmolLM2\n")
    place.environment.update(HF_ENDPOINT=f"file://{hub}", PATH=f"{engine}:/usr/bin:/bin")


def settings():
    """Of a context that uses the place of the tool too, and sees nothing else of this machine's environment."""
    return {"home": place.folder, "hub.endpoint": f"file://{hub}", "job.path": place.environment["PATH"]}


def resident(process):
    """Bytes that a process has in memory, files that are mapped included, as a limit on memory counts them."""
    with open(f"/proc/{process}/status", encoding="utf-8") as file:
        return 1024 * int(re.search(r"(?m)^VmRSS:\s+(\d+) kB$", file.read()).group(1))


def wait_until(condition, what):
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"it never came to this: {what}")
        time.sleep(0.05)


def ask_server(job, path, body=None):
    """What llama-server answers that tenon does not ask for."""
    address, content = job.status().address.removesuffix("/v1") + path, None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {job.api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, content, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as said:
        return said.read().decode()


def answer(job, prompt, parameters=EXACT, **options):
    """The pieces of an answer, and its text."""
    with job.chat(prompt, parameters=parameters, **options) as task:
        return list(task), task.text


def ask_shape(url, path, body, key):
    """(status, text) of any question, be it JSON or bytes."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, content, {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as said:
            return said.status, said.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def shape(said):
    """What two servers that say different words have in common."""
    def of(value):
        if isinstance(value, dict):
            return {name: of(item) for name, item in value.items() if name in MEMBERS}
        return [of(value[0])] if isinstance(value, list) and value else type(value).__name__

    status, text = said
    if status >= 400:
        error = json.loads(text)["error"]
        return status, error["type"], sorted(error), bool(error["message"])
    if not text.startswith("data: "):
        return status, of(json.loads(text))
    events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    return status, events[-1], [of(json.loads(events[at])) for at in (0, 1, -3, -2)]


def of_kind(pieces, kind):
    return [piece for piece in pieces if piece.kind == kind]


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.context = tenon.Context(settings(), environment=False)
        cls.addClassCleanup(cls.context.close)

    def serve(self, model=MODEL, **options):
        """A job that is stopped with the test, whatever became of it."""
        wanted = {"context_tokens": 512, "sequences": 1, "threads": 1, **options}
        job = tenon.Server.serve(model=model, context=self.context, **wanted)
        self.addCleanup(job.close)
        self.addCleanup(job.stop, force=True)
        return job

    def fails(self, kind, words, function, *arguments, **options):
        """The error of a call or of the task that it gives."""
        with self.assertRaises(kind) as caught:
            given = function(*arguments, **options)
            if isinstance(given, tenon.Task):
                with given:
                    given.result()
        self.assertRegex(caught.exception.message, words)
        return caught.exception


class BeforeServing(Case):
    """What is known of the model without fetching it, with a cache that is empty at first."""

    def setUp(self):
        self.home = place.path(self.id())
        self.context = tenon.Context({**settings(), "home": self.home}, environment=False)
        self.addCleanup(self.context.close)

    def test_the_hub(self):
        with tenon.Hub(context=self.context) as found:
            self.assertEqual(found.info(MODEL).id, MODEL)
            files = {file.path: file.bytes for file in found.list(MODEL, allow=["*.gguf"])}
            self.assertEqual(os.listdir(found.snapshot(MODEL, allow=["*.md"])), ["README.md"])
        self.assertEqual(len(files), 2)
        self.assertEqual(files[WEIGHTS], os.path.getsize(os.path.join(hub, MODEL, WEIGHTS)))
        self.assertIn("apache-2.0", place.run("info", MODEL).stdout)

    def test_the_plan(self):
        """From the header alone: nothing of the weights comes into a cache."""
        offer = next(offer for offer in tenon.plan(MODEL, context_tokens=CONTEXT, sequences=SEQUENCES, context=self.context)
                     if offer.accelerator == "local:cpu")
        sizes = [os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(self.home) for name in names]
        self.assertLess(sum(sizes), 1_000_000)
        self.assertIn(offer.verdict, (tenon.Verdict.FITS, tenon.Verdict.TIGHT))
        items = {item.item: item for item in offer.memory}
        # 30 layers with 3 key-value heads of 64, K and V, 16 bits each.
        self.assertEqual(items["kv_cache"].high_bytes, SEQUENCES * CONTEXT * 30 * 2 * 3 * 64 * 2)
        whole = os.path.getsize(os.path.join(hub, MODEL, WEIGHTS))
        self.assertTrue(whole * 0.95 < items["weights"].high_bytes < whole, items["weights"])
        said = place.run("plan", MODEL, "--context", str(CONTEXT), "--sequences", str(SEQUENCES), "--json").stdout
        self.assertIn(offer.need_bytes, [row["need_bytes"] for row in json.loads(said)["offers"]])


class Served(Case):
    """One server, asked by everybody. It has two slots, so that two questions are answered at once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job = tenon.serve(MODEL, on="local:cpu", context_tokens=CONTEXT, sequences=SEQUENCES, threads=1, name="smol",
                              environment=["LLAMA_ARG_ENDPOINT_METRICS=1"], context=cls.context)
        cls.addClassCleanup(cls.job.close)
        cls.addClassCleanup(cls.job.stop)
        cls.address = cls.job.status().address
        cls.key = cls.job.api_key

    def busy(self):
        return [slot["id"] for slot in json.loads(ask_server(self.job, "/slots")) if slot["is_processing"]]

    def counter(self, name):
        return float(re.search(rf"(?m)^llamacpp:{name} (\S+)$", ask_server(self.job, "/metrics")).group(1))

    def chat(self, prompt, parameters=EXACT, **options):
        return answer(self.job, prompt, parameters, **options)

    # ---- how it was started ----

    def test_the_command(self):
        report = self.job.status()
        with open(f"/proc/{report.process}/cmdline", encoding="utf-8") as file:
            words = file.read().split("\0")[:-1]
        self.assertEqual(os.path.realpath(f"/proc/{report.process}/exe"), os.path.realpath(os.path.join(engine, "llama-server")))
        options = dict(zip(words[1::2], words[2::2]))
        self.assertEqual({name: options[name] for name in ("--threads", "--ctx-size", "--parallel", "--alias")},
                         {"--threads": "1", "--ctx-size": str(CONTEXT * SEQUENCES), "--parallel": str(SEQUENCES), "--alias": MODEL})
        self.assertEqual(os.path.basename(options["--model"]), WEIGHTS)
        self.assertNotIn(self.key, " ".join(words))

    def test_the_models(self):
        model, = self.job.models()
        self.assertEqual((model.id, model.context_tokens), (MODEL, CONTEXT))

    def test_it_explains_how_it_stands(self):
        report = self.job.status()
        self.assertEqual((report.state, report.name, report.model, report.accelerator),
                         (JobState.RUNNING, "smol", MODEL, "local:cpu"))
        self.assertIsNotNone(report.started_ms)
        self.assertEqual(len(json.loads(ask_server(self.job, "/slots"))), SEQUENCES)

    def test_no_line_of_its_log_is_a_measurement(self):
        lines = [line.text for line in self.job.logs()]
        self.assertTrue(any("llama" in line for line in lines) and len(lines) > 10, lines)
        self.assertEqual(list(self.job.metrics()), [])
        self.assertEqual([line for line in lines if self.key in line], [])

    # ---- answers ----

    def test_a_streamed_answer(self):
        pieces, text = self.chat(CAPITAL)
        said = [piece.text for piece in of_kind(pieces, PieceKind.TEXT)]
        self.assertIn("Paris", text)
        self.assertGreater(len(said), 3)
        self.assertEqual("".join(said), text)
        stop, = of_kind(pieces, PieceKind.STOP)
        usage, = of_kind(pieces, PieceKind.USAGE)
        self.assertEqual(stop.stop_reason, "stop")
        self.assertTrue(usage.prompt_tokens > 10 and len(said) <= usage.completion_tokens <= len(said) + 2, usage)
        self.assertEqual(of_kind(pieces, PieceKind.UNKNOWN), [])

    def test_pieces_come_while_it_thinks(self):
        with self.job.chat("Count.", parameters=ENDLESS) as task:
            next(piece for piece in task if piece.text)
            self.assertEqual(len(self.busy()), 1)

    def test_a_whole_answer(self):
        pieces, text = self.chat(CAPITAL, whole=True)
        self.assertEqual([piece.kind for piece in pieces], [PieceKind.TEXT, PieceKind.STOP, PieceKind.USAGE])
        self.assertEqual((pieces[0].text, pieces[1].stop_reason), (text, "stop"))
        self.assertEqual(text, self.chat(CAPITAL)[1])

    def test_a_conversation(self):
        said = [{"role": "user", "content": CAPITAL}, {"role": "assistant", "content": "The capital of France is Paris."}]
        pieces, text = self.chat("And of Italy?", system="Answer in one short sentence.", messages=said)
        alone = of_kind(self.chat("And of Italy?")[0], PieceKind.USAGE)[0].prompt_tokens
        self.assertIn("Rome", text)
        self.assertGreater(of_kind(pieces, PieceKind.USAGE)[0].prompt_tokens, alone + 10)

    def test_a_limit_of_tokens(self):
        pieces, _ = self.chat("Tell a long story.", max_tokens=5)
        self.assertEqual(of_kind(pieces, PieceKind.STOP)[0].stop_reason, "length")
        self.assertEqual(of_kind(pieces, PieceKind.USAGE)[0].completion_tokens, 5)

    def test_a_stop_string(self):
        whole = self.chat(CAPITAL)[1]
        pieces, text = self.chat(CAPITAL, parameters={**EXACT, "stop": ["Paris"]})
        self.assertEqual(of_kind(pieces, PieceKind.STOP)[0].stop_reason, "stop")
        self.assertEqual(text.strip(), whole[:whole.index("Paris")].strip())

    def test_the_end_of_the_context(self):
        pieces, _ = self.chat("Count.", parameters=ENDLESS)
        self.assertEqual(of_kind(pieces, PieceKind.STOP)[0].stop_reason, "length")
        usage, = of_kind(pieces, PieceKind.USAGE)
        self.assertTrue(CONTEXT - 2 <= usage.prompt_tokens + usage.completion_tokens <= CONTEXT, usage)

    def test_several_choices(self):
        pieces, text = self.chat(CAPITAL, parameters={"temperature": 1.5, "seed": 7, "n": 2, "max_tokens": 20})
        said = {choice: "".join(piece.text for piece in pieces if piece.choice == choice) for choice in (0, 1)}
        self.assertTrue(all(said.values()) and said[0] == text, said)
        self.assertEqual(sorted(piece.choice for piece in of_kind(pieces, PieceKind.STOP)), [0, 1])

    def test_a_text_is_continued(self):
        with self.job.complete("The capital of France is", parameters=EXACT, max_tokens=8) as task:
            pieces = list(task)
            self.assertIn("Paris", task.text)
        self.assertEqual(of_kind(pieces, PieceKind.STOP)[0].stop_reason, "length")
        self.assertEqual(of_kind(pieces, PieceKind.USAGE)[0].completion_tokens, 8)

    def test_an_answer_in_json(self):
        members = {"city": {"type": "string", "maxLength": 12}, "people": {"type": "integer", "minimum": 0, "maximum": 99}}
        schema = {"type": "object", "required": ["city", "people"], "additionalProperties": False, "properties": members}
        wanted = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": schema}}
        _, text = self.chat("Name a city.", parameters={**EXACT, "response_format": wanted})
        answer = json.loads(text)
        self.assertEqual(set(answer), {"city", "people"})
        self.assertTrue(isinstance(answer["city"], str) and 0 <= answer["people"] <= 99, answer)

    # ---- the simulator ----

    def test_the_simulator_is_like_it(self):
        """What tenon's other tests take for a llama-server answers the same questions alike: status, kind of error, members."""
        with Simulator("inference") as simulator:
            simulator.settings(server="llama", key=self.key, context=CONTEXT, models=[MODEL])
            for path, body in QUESTIONS:
                with self.subTest(path, body=str(body)[:100]):
                    self.assertEqual(shape(ask_shape(simulator.url, path, body, self.key)),
                                     shape(ask_shape(self.address.removesuffix("/v1"), path, body, self.key)))

    # ---- refusals ----

    def test_a_wrong_key(self):
        for key, hint in (("wrong", "Check the key"), ("", "wants a key")):
            error = self.fails(tenon.UnauthorizedError, "HTTP 401", tenon.Inference.chat, self.address, prompt="x", key=key or None,
                               context=self.context)
            self.assertIn(hint, error.hint)
            self.assertEqual(error.http_status, 401)

    def test_what_makes_no_sense(self):
        for parameters in ({"messages": 7}, {"grammar": "root ::= ("}, {"n": 100}, {"temperature": "hot"}):
            with self.subTest(parameters):
                error = self.fails(tenon.ArgumentError, "HTTP 400", self.job.chat, "x", parameters=parameters)
                self.assertEqual(error.http_status, 400)
        # It takes what its template for chats cannot read for a fault of its own.
        error = self.fails(tenon.UnavailableError, "Missing 'role'", self.job.chat, messages=[{"content": "x"}])
        self.assertEqual(error.http_status, 500)

    def test_more_than_the_context_holds(self):
        error = self.fails(tenon.ArgumentError, "exceeds", self.job.chat, "word " * (2 * CONTEXT))
        self.assertEqual((error.http_status, error.code), (400, "exceed_context_size_error"))
        self.assertTrue(error.hint)

    def test_an_address_that_is_wrong(self):
        error = self.fails(tenon.NotFoundError, "HTTP 404", tenon.Inference.chat, self.address + "/v2", prompt="x", model="x",
                           key=self.key, context=self.context)
        self.assertIn("address", error.hint)

    # ---- many ----

    def test_leaving_frees_the_slot(self):
        for leave in (tenon.Task.cancel, tenon.Task.close):
            with self.subTest(leave.__name__):
                before = self.counter("tokens_predicted_total")
                task = self.job.chat("Count.", parameters=ENDLESS)
                for _ in range(5):
                    next(task)
                self.assertEqual(len(self.busy()), 1)
                leave(task)
                wait_until(lambda: not self.busy(), "its slot is free")
                task.close()
                self.assertEqual(self.counter("requests_processing"), 0)
                self.assertLess(self.counter("tokens_predicted_total") - before, CONTEXT // 2)

    def test_a_caller_that_is_killed_frees_the_slot(self):
        code = ("import sys, tenon\ncontext = tenon.Context({}, environment=False)\n"
                "for piece in tenon.Inference.chat(sys.argv[1], prompt='Count.', key=sys.argv[2], parameters={'ignore_eos': True},"
                " context=context):\n    print(piece.text, flush=True)")
        with subprocess.Popen(["/usr/bin/python3", "-c", code, self.address, self.key], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": package.PYTHON}) as caller:
            for _ in range(5):
                caller.stdout.readline()
            self.assertEqual(len(self.busy()), 1)
            caller.kill()
        wait_until(lambda: not self.busy(), "its slot is free")

    def test_more_questions_than_slots(self):
        """As many as there are slots are answered at once; the others wait for one."""
        talking = [self.job.chat("Count.", parameters=ENDLESS) for _ in range(SEQUENCES)]
        for task in talking:
            next(task)
        self.assertEqual(len(self.busy()), SEQUENCES)
        waiting = [self.job.chat(CAPITAL, parameters=EXACT) for _ in range(3)]
        wait_until(lambda: [self.context.step(0), self.counter("requests_deferred")][1] == 3, "all three wait")
        for task in talking:
            task.close()
        for task in waiting:
            with task:
                for _ in task:
                    pass
                self.assertIn("Paris", task.text)

    # ---- others ----

    def test_the_tool(self):
        done = place.run("chat", "smol", CAPITAL, "--temperature", "0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Paris", done.stdout)
        self.assertIn("smol", place.run("ps").stdout)
        self.assertGreater(len(place.run("logs", "smol", "-n", "5").stdout.splitlines()), 4)
        self.assertEqual(place.run("key", "smol").stdout, self.key + "\n")

    @unittest.skipIf(no_openai, no_openai)
    def test_the_client_of_openai(self):
        with openai.OpenAI(base_url=self.address, api_key=self.key, max_retries=0, timeout=PATIENCE) as client:
            self.assertEqual([model.id for model in client.models.list()], [MODEL])
            question = {"model": MODEL, "messages": [{"role": "user", "content": CAPITAL}], "temperature": 0}
            answer = client.chat.completions.create(**question)
            self.assertEqual(answer.choices[0].message.content, self.chat(CAPITAL)[1])
            chunks = list(client.chat.completions.create(**question, stream=True))
            self.assertEqual("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
                             answer.choices[0].message.content)
        with openai.OpenAI(base_url=self.address, api_key="wrong", max_retries=0) as client:
            self.assertRaises(openai.AuthenticationError, client.models.list)

    # ---- memory ----

    def test_memory_is_as_planned(self):
        """With both slots filled to the end of their context, where the server has touched all that it ever will."""
        items = [item for offer in tenon.plan(MODEL, context_tokens=CONTEXT, sequences=SEQUENCES, context=self.context)
                 if offer.accelerator == "local:cpu" for item in offer.memory]
        tasks = [self.job.chat("Count. " + number, parameters=ENDLESS) for number in ("One.", "Two.")]
        for task in tasks:
            with task:
                task.result()
        used, peak = resident(self.job.status().process), self.job.status().peak_memory_bytes
        total = items[-1]
        planned = ", ".join(f"{item.item} {item.low_bytes / 1e6:.0f} to {item.high_bytes / 1e6:.0f}" for item in items)
        suite.note(f"llama-server has {used / 1e6:.0f} MB in memory; planned: {planned}")
        self.assertTrue(0.95 * total.low_bytes < used < total.high_bytes, "the plan is far off")
        self.assertTrue(used * 0.9 < peak < total.high_bytes, "what the job reports is far off")

    def test_conversations_that_are_over_take_no_memory(self):
        """Of each llama-server would keep a copy, here of some 9 MB, until they are 8 GiB."""
        for number in range(SEQUENCES):
            self.chat(" ".join(map(str, range(100 * number, 100 * number + 80))), max_tokens=1)
        before = resident(self.job.status().process)
        for number in range(SEQUENCES, SEQUENCES + 5):
            self.chat(" ".join(map(str, range(100 * number, 100 * number + 80))), max_tokens=1)
        self.assertLess(resident(self.job.status().process) - before, 20_000_000)


class Tools(Case):
    """Calls of functions. A model of this size would rather talk: it is pushed to begin a call, and to end behind one; what stands
    between the two marks is what llama-server's grammar for the tools makes it say."""

    def setUp(self):
        path = place.path("tools.jinja")
        with open(path, "w", encoding="utf-8") as file:
            file.write(TOOLS)
        self.job = self.serve(environment=[f"LLAMA_ARG_CHAT_TEMPLATE_FILE={path}"])
        self.job.wait("running")
        (begin,), (end,) = (json.loads(ask_server(self.job, "/tokenize", {"content": mark, "parse_special": True}))["tokens"]
                            for mark in ("<jupyter_code>", "<|im_end|>"))
        self.wanted = {"temperature": 0, "tools": [WEATHER], "tool_choice": "required", "logit_bias": {begin: 100, end: 200}}

    def check(self, arguments):
        self.assertEqual(set(arguments), {"place", "unit"})
        self.assertIn(arguments["place"], ("Ulm", "Bern"))
        self.assertIn(arguments["unit"], ("celsius", "fahrenheit"))

    def test_a_tool_call(self):
        for whole in (False, True):
            with self.subTest(whole=whole):
                pieces, text = answer(self.job, "How is the weather in Ulm?", self.wanted, whole=whole)
                parts = of_kind(pieces, PieceKind.TOOL)
                self.assertEqual((parts[0].tool_name, text), ("weather", ""))
                self.assertTrue(parts[0].tool_id)
                self.assertEqual({(part.tool_id, part.tool_name, part.tool) for part in parts[1:]},
                                 set() if whole else {("", "", 0)})
                self.check(json.loads("".join(part.tool_arguments for part in parts)))
                self.assertEqual(of_kind(pieces, PieceKind.STOP)[0].stop_reason, "tool_calls")

    @unittest.skipIf(no_openai, no_openai)
    def test_the_client_of_openai(self):
        with openai.OpenAI(base_url=self.job.status().address, api_key=self.job.api_key, max_retries=0, timeout=PATIENCE) as client:
            said = [{"role": "user", "content": "How is the weather in Ulm?"}]
            message = client.chat.completions.create(model=MODEL, messages=said, **self.wanted).choices[0].message
            self.check(json.loads(message.tool_calls[0].function.arguments))
            # What the function said goes back with the conversation.
            said += [message.to_dict(), {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Rain."}]
        pieces, _ = answer(self.job, None, {"temperature": 0, "tools": [WEATHER]}, messages=said, max_tokens=5)
        self.assertEqual(of_kind(pieces, PieceKind.STOP)[0].stop_reason, "length")


CALLER = """
import json, os, signal, sys, tenon
context = tenon.Context(json.loads(sys.argv[2]), environment=False)
job = tenon.Job.serve(model=sys.argv[1], context_tokens=512, sequences=1, threads=1, name="orphan", context=context)
job.wait("running")
print(job.id, flush=True)
next(tenon.Inference.chat(job.id, prompt="Count.", parameters={"ignore_eos": True}, context=context))
os.kill(os.getpid(), signal.SIGKILL)
"""


class Lives(Case):
    """How a server comes and goes. Each test has one of its own."""

    def test_it_is_followed_while_it_loads(self):
        job = self.serve()
        stages, said = [], []
        with job.start_watch() as watch:
            for report in watch:
                stages.append(report.stage)
                if report.state >= JobState.RUNNING:
                    break
        self.assertEqual(stages[-1], "running")
        self.assertIn("fetching", stages)
        with job.start_logs(follow=True) as lines:
            for line in lines:
                said.append(line.text)
                if "listening on" in line.text:
                    break
            self.assertTrue(any("loading model" in text for text in said), said)
            with job.chat(CAPITAL, parameters=EXACT) as task:
                self.assertIn("Paris", task.result())
            self.assertTrue(next(line.text for line in lines if "processing task" in line.text))

    def test_another_file_of_the_model_is_served(self):
        job = self.serve(file=os.path.basename(environments.smollm2()))
        job.wait("running")
        with open(f"/proc/{job.status().process}/cmdline", encoding="utf-8") as file:
            self.assertIn(f"/{os.path.basename(environments.smollm2())}\0", file.read())
        with job.chat(CAPITAL, max_tokens=3) as task:
            self.assertTrue(task.result())

    def test_it_is_stopped_with_grace(self):
        job = self.serve()
        job.wait("running")
        with job.start_logs(follow=True) as lines:
            job.stop()
            said = [line.text for line in lines]
        report = job.status()
        self.assertEqual((report.state, report.exit_code, report.signal, report.cause), (JobState.CANCELLED, 0, 0, Cause.NONE))
        self.assertTrue(any("cleaning up before exit" in text for text in said), said[-5:])
        self.assertFalse(os.path.exists(f"/proc/{report.process}"))
        self.fails(tenon.BusyError, "has ended", job.chat, "x")

    def test_it_is_stopped_in_mid_answer(self):
        """It waits for whoever still listens to it; when the grace is over it is killed."""
        job = self.serve()
        job.wait("running")
        task = job.chat("Count.", parameters=ENDLESS)
        next(task)
        job.stop(grace_ms=2000)
        with task, self.assertRaises(tenon.TenonError) as caught:
            task.result()
        self.assertIn(type(caught.exception), (tenon.NetworkError, tenon.FailedError))
        self.assertIn(job.status().signal, (0, signal.SIGKILL))
        self.assertEqual(job.status().state, JobState.CANCELLED)

    def test_another_process_opens_and_stops_it(self):
        """By the tool, which shares nothing with this process but the home folder."""
        done = place.run("serve", MODEL, "--context", "512", "--sequences", "1", "--threads", "1", "--detach", "--name", "other")
        self.assertEqual(done.returncode, 0, done.stderr)
        name, address = done.stdout.split()
        with tenon.Job(name, context=self.context) as job:
            self.assertEqual((job.wait("running"), job.status().state), (address, JobState.RUNNING))
            with job.chat(CAPITAL, parameters=EXACT) as task:
                self.assertIn("Paris", task.result())
            self.assertEqual(place.run("stop", "other").returncode, 0)
            job.status()
            self.assertRaises(tenon.CancelledError, job.wait)
            self.assertEqual(job.status().state, JobState.CANCELLED)

    def test_the_caller_is_killed(self):
        """In the middle of an answer; the server goes on, and another process is answered."""
        done = subprocess.run(["/usr/bin/python3", "-c", CALLER, MODEL, json.dumps(settings())], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": package.PYTHON}, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        with tenon.Job(done.stdout.strip(), context=self.context) as job:
            self.addCleanup(place.run, "stop", "--now", "orphan")
            with job.chat(CAPITAL, parameters=EXACT) as task:
                self.assertIn("Paris", task.result())
            job.stop()
            self.assertEqual(job.status().exit_code, 0)

    def test_the_server_is_killed(self):
        job = self.serve()
        job.wait("running")
        task = job.chat("Count.", parameters=ENDLESS)
        next(task)
        os.kill(job.status().process, signal.SIGKILL)
        with task, self.assertRaises(tenon.NetworkError):
            task.result()
        self.assertRaises(tenon.FailedError, job.wait)
        report = job.status()
        self.assertEqual((report.state, report.cause, report.signal), (JobState.FAILED, Cause.SIGNAL, signal.SIGKILL))
        self.assertTrue("llama-server" in report.message and report.hint and report.retry_helps and report.last_lines, report)
        self.fails(tenon.BusyError, "has ended", job.chat, "x")

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            job = self.serve(port=port)
            self.assertRaises(tenon.FailedError, job.wait, "running")
        report = job.status()
        self.assertEqual((report.cause, report.retry_helps), (Cause.PORT, 1))
        self.assertIn(str(port), report.message)
        job = self.serve(port=port)
        self.assertEqual(job.wait("running"), f"http://127.0.0.1:{port}/v1")

    def test_a_model_that_is_damaged(self):
        with open(os.path.join(hub, MODEL, WEIGHTS), "rb") as file:
            whole = file.read()
        for what, content, words in (("cut", whole[:len(whole) // 2], "corrupted or incomplete"),
                                     ("headless", b"X" + whole[1:100000], "magic"), ("empty", b"", "")):
            with self.subTest(what):
                path = place.path(f"{what}.gguf")
                with open(path, "wb") as file:
                    file.write(content)
                job = self.serve(path)
                error = self.fails(tenon.FailedError, "llama-server ended with exit code 1: error loading", job.wait, "running")
                report = job.status()
                self.assertEqual((report.cause, report.message), (Cause.INPUT, error.message))
                self.assertIn("damaged", report.hint)
                self.assertIn(words, report.last_lines)

    def test_a_limit_of_memory(self):
        job = self.serve(memory_bytes=100_000_000)
        # It may be ready before it is found to take too much.
        self.assertRaises(tenon.FailedError, job.wait, "succeeded")
        self.assertEqual(job.status().cause, Cause.MEMORY)
        self.assertIn("memory", job.status().message)

    def test_more_context_than_memory(self):
        """The engine's own words for it are understood."""
        job = self.serve(context_tokens=2_000_000_000)
        self.assertRaises(tenon.FailedError, job.wait, "running")
        report = job.status()
        self.assertEqual(report.cause, Cause.MEMORY, report)


if __name__ == "__main__":
    suite.main()
