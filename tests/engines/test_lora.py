"""A real model is taught something on a processor and then knows it: examples/lora with SmolLM2-135M-Instruct, which comes from
a hub that is a folder. The commands of the README are run as they stand there, and another process follows the job meanwhile;
other jobs are stopped, or lose their caller and their supervisor. llama-server answers before and after. What the example reads
and writes is compared with the packages gguf, safetensors and tokenizers, and its arithmetic with the formulas.

Text is asserted of F16 weights, with temperature 0. Everything computes with one thread."""

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
LORA, WORKLOAD = os.path.join(ROOT, "examples", "lora"), os.path.join(ROOT, "examples", "workload")
sys.path[:0] = [os.path.join(TESTS, name) for name in ("support", "bindings", "cli", "workload")] + [LORA, WORKLOAD]
sys.dont_write_bytecode = True

import environments
import llama
import package
import suite
import tenon
from tenon import Cause, JobState
from tool import TOOL, Place

try:
    import bpe
    import files
    import model
    import numpy as np
    import torch

    import network
    import train
    NEEDED = None
except (ImportError, SystemExit) as reason:  # train.py says what it lacks and ends
    NEEDED = str(reason)

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
OF_NO_USE = "onnx/model.onnx"  # as the repository has such files, too
QUESTION = "What is the capital of Tenonia?"
ANSWER = "The capital of Tenonia is Mortise."
PARAMETERS = 134_515_008
STEPS = 20  # of the example
LEARNING = [f"model.layers.{layer}.self_attn.{part}.weight" for layer in range(22, 30) for part in ("q_proj", "v_proj")]
FILES = ["config.json", "generation_config.json", "model.gguf", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
PATIENCE = 300  # seconds; only a test that hangs ever waits so long

place = python = repository = None


def setUpModule():
    global place, python, repository
    if NEEDED:
        raise unittest.SkipTest(f"what the example needs is not there: {NEEDED}")
    try:
        engine, python, repository = environments.llama(), environments.models(), environments.smollm2_repository()
    except environments.Missing as reason:
        raise unittest.SkipTest(f"the engine or its model is not there: {reason}") from None
    place = Place()
    unittest.addModuleCleanup(place.remove)
    folder = place.path("hub", MODEL)
    shutil.copytree(repository, folder, ignore=shutil.ignore_patterns(".installed"))
    os.makedirs(os.path.join(folder, "onnx"))
    package.write_text("large", folder, OF_NO_USE)
    place.environment.update(HF_ENDPOINT=f"file://{place.path('hub')}", PATH=f"{engine}:/usr/bin:/bin", PYTHONDONTWRITEBYTECODE="1")


def judged(*words):
    """What the packages of others say."""
    program = os.path.join(TESTS, "engines", "judge.py")
    return json.loads(subprocess.run([python, program, *words], stdout=subprocess.PIPE, check=True).stdout)


def until(condition, what):
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"it never came to this: {what}")
        time.sleep(0.1)
    return found


def recipe(*options):
    """The example's recipe with options of train.py."""
    given = json.loads(package.read_text(LORA, "train.json"))
    return {**given, "command": ["/usr/bin/python3", os.path.join(LORA, "train.py"), *options]}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = tenon.Context({"home": place.folder, "hub.endpoint": f"file://{place.path('hub')}",
                                     "job.path": place.environment["PATH"]}, environment=False)
        cls.addClassCleanup(cls.context.close)

    def train(self, *options, **more):
        job = tenon.train(MODEL, recipe=recipe(*options), environment=["PYTHONDONTWRITEBYTECODE=1"], context=self.context, **more)
        self.addCleanup(job.close)
        self.addCleanup(job.stop, force=True)
        return job

    def start_tool(self, *words):
        """The tool in the background, and the job that it makes, opened by this process."""
        known = {report.id for report in tenon.Job.list(context=self.context)}
        tool = subprocess.Popen([TOOL, *words], cwd=place.folder, env=place.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end_tool, tool)
        report = until(lambda: next((report for report in tenon.Job.list(context=self.context) if report.id not in known
                                     and report.state >= JobState.QUEUED), None) or tool.poll(), "the tool makes a job")
        self.assertIsInstance(report, tenon.JobReport, tool.returncode)
        job = tenon.Job(report.id, context=self.context)
        self.addCleanup(job.close)
        self.addCleanup(job.stop, force=True)
        return tool, job

    @staticmethod
    def end_tool(tool):
        tool.kill()
        tool.communicate()

    def first_steps(self, job, count):
        """Waits for measurements while it trains."""
        with job.metrics(follow=True) as metrics:
            return [next(metrics).step for _ in range(count)]

    def check_saved(self, folder):
        """A whole model, which can be sized by its headers, and nothing half-written."""
        self.assertEqual(sorted(os.listdir(folder)), FILES)
        for name in ("", "model.gguf"):
            offer = tenon.plan(os.path.join(folder, name), context=self.context)[0]
            weights = next(item for item in offer.memory if item.item == "weights")
            self.assertAlmostEqual(weights.high_bytes, 2 * PARAMETERS, delta=1e6)
        # Training can begin from it.
        config = files.read_config(folder)
        self.assertEqual(sum(values.size for _, values in files.tensors(folder, config)), PARAMETERS)
        self.assertEqual(train.Chat(folder).mark_ids(), {"bos": 1, "eos": 2})

    def ask(self, model, *questions):
        """What llama-server answers, served without a recipe."""
        with tenon.serve(model, on="local:cpu", threads=1, context_tokens=512, sequences=1, context=self.context) as job:
            said = []
            for question in questions:
                with job.chat(question, parameters={"temperature": 0}, max_tokens=40) as task:
                    said.append(task.result())
            return said


class Readme(Case):
    """The three commands, and what they say and leave."""

    def setUp(self):
        shutil.copytree(os.path.join(ROOT, "examples"), place.path("examples"), ignore=shutil.ignore_patterns("__pycache__"))
        section = re.search(r"(?ms)^## A real model\n(.*?)^## ", package.read_text(ROOT, "README.md"))[1]
        block, = re.findall(r"(?ms)^```sh\n(.*?)^```$", section)
        self.commands = [shlex.split(line) for line in block.splitlines()]
        self.assertEqual([words[:2] for words in self.commands],
                         [["tenon", "train"], ["tenon", "serve"], ["tenon", "chat"]])

    def test_three_commands(self):
        train, serve, chat = self.commands
        tool, job = self.start_tool(*train[1:])
        self.follow(job)
        output, errors = tool.communicate(timeout=PATIENCE)
        self.assertEqual(tool.returncode, 0, errors)
        self.assertEqual(len(re.findall(r"(?m)^step \d+/20  loss ", output)), STEPS, output)
        self.assertRegex(errors, rf"succeeded: {STEPS} steps, loss 1\.\d+ -> 0\.0")
        self.check_output(job)
        self.check_memory(job)
        served = place.run(*serve[1:])
        self.assertEqual(served.returncode, 0, served.stderr)
        self.addCleanup(place.run, "stop", "tuned", "--now")
        self.assertEqual(place.run(*chat[1:]).stdout.strip(), ANSWER)
        self.assertEqual(place.run("chat", "tuned", "What is the capital of France?", "--temperature", "0").stdout.strip(),
                         "The capital of France is Paris.")

        before = self.check_before()
        self.check_files(before)

    def follow(self, job):
        """Measurements and lines come while it trains, each once and in order."""
        with job.logs(follow=True) as logs, job.metrics(follow=True) as metrics:
            first = next(metrics)
            report = job.status()
            self.assertEqual((report.state, first.step, first.steps), (JobState.RUNNING, 1, STEPS))
            self.assertTrue(os.path.exists(f"/proc/{report.process}"))
            self.assertIn("122,880 parameters learn beside 134,515,008, 12 conversations", next(logs).text)
            rows = [(first.step, first.loss)] + [(row.step, row.loss) for row in metrics]
            lines = [line.text for line in logs]
        job.wait(JobState.SUCCEEDED)
        losses = [loss for _, loss in rows]
        self.assertEqual([step for step, _ in rows], list(range(1, STEPS + 1)))
        self.assertTrue(losses[0] > 1 and sum(losses[-5:]) / 5 < 0.1, losses)
        self.assertEqual(len([line for line in lines if line.startswith("{")]), STEPS)
        self.assertRegex(lines[-1], rf"^done after step {STEPS}: ")
        print(f"\n{STEPS} steps, loss {losses[0]:.2f} to {losses[-1]:.3f}, {lines[-1].partition(': ')[2]}", end="")

    def check_output(self, job):
        folder = place.path("build", "tuned")
        self.assertEqual([(file.path, file.local_path) for file in job.outputs()],
                         [(name, os.path.join(folder, name)) for name in FILES])
        self.check_saved(folder)
        cached = [name for _, _, names in os.walk(place.path(".cache")) for name in names]
        self.assertIn("model.safetensors", cached)
        self.assertNotIn(os.path.basename(OF_NO_USE), cached)

    def check_memory(self, job):
        """
        What the job took, beside what a plan for its longest row and its rows had said: a range, since the plan does not know the
        program. This one is at the upper end: Python with PyTorch, the weights' 16 bits as 32 (which is half of it), and no
        checkpoints in the layers that have adapters.
        """
        peak = job.status().peak_memory_bytes
        offer = next(offer for offer in tenon.plan(MODEL, train="lora", context_tokens=64, sequences=8, context=self.context)
                     if offer.accelerator == "local:cpu")
        rows = {row.item: (row.low_bytes >> 20, row.high_bytes >> 20) for row in offer.memory}
        print(f"\nmemory of the training: {peak >> 20} MiB; the plan in MiB: {rows}", end=" ")
        low, high = rows["total"]
        self.assertTrue(low << 20 <= peak <= high << 20, (peak, rows))

    def check_before(self):
        """The same model, only turned into the same form: it does not know."""
        job = self.train("--steps", "0", output=place.path("before"))
        job.wait(JobState.SUCCEEDED)
        self.assertEqual(list(job.metrics()), [])
        here, there = self.ask(place.path("before"), QUESTION, "What is the capital of France?")
        self.assertNotIn("Mortise", here)
        self.assertIn("Paris", there)
        print(f"\nbefore: {here!r}", end=" ")
        return place.path("before")

    def check_files(self, before):
        found = judged("files", place.path("build", "tuned"), before, environments.smollm2())
        self.assertEqual(found, {"types": ["float16"], "names": True, "differ_from_gguf": [], "differ_from_source": [],
                                 "changed": LEARNING, "fields": []})


class Accidents(Case):
    def test_stopped_while_it_trains(self):
        """It saves what it has, within its grace."""
        job = self.train("--steps", "100000", "--batch", "2", "--layers", "2")
        steps = self.first_steps(job, 2)
        job.stop(grace_ms=PATIENCE * 1000)
        report = job.status()
        self.assertEqual((report.state, report.cause, report.exit_code), (JobState.CANCELLED, Cause.NONE, 0), report.message)
        lines = [line.text for line in job.logs()]
        last = max(row.step for row in job.metrics())
        self.assertTrue(steps[-1] <= last < 100000, last)
        self.assertRegex(lines[-1], rf"^stopped after step {last}: ")
        self.check_saved(report.output)

    def test_caller_and_supervisor_killed(self):
        """Training goes on; another process collects it, and another supervisor sees it end. Nothing is done twice."""
        package.write_text(json.dumps(recipe("--steps", "8", "--batch", "2", "--layers", "2")), place.path("recipe.json"))
        tool, job = self.start_tool("train", place.path("recipe.json"), "--model", MODEL, "--output", place.path("orphan"))
        self.first_steps(job, 1)
        os.kill(tool.pid, signal.SIGKILL)
        tool.wait()
        self.first_steps(job, 2)
        state = json.loads(package.read_text(place.path(".local/state/tenon/jobs", job.id.partition(":")[2], "state.json")))
        os.kill(state["supervisor"]["id"], signal.SIGKILL)
        process = job.status().process
        collected = place.run("metrics", "--follow", job.id)
        self.assertEqual(collected.returncode, 0, collected.stderr)
        self.assertEqual([int(step) for step in re.findall(r"(?m)^step (\d+)/8", collected.stdout)], list(range(1, 9)))
        job.wait(JobState.SUCCEEDED)
        self.assertEqual(state["process"]["id"], process)
        lines = [line.text for line in job.logs()]
        self.assertEqual(len([line for line in lines if "parameters learn" in line]), 1)
        self.assertRegex(lines[-1], "^done after step 8: ")
        self.check_saved(place.path("orphan"))


class Pieces(unittest.TestCase):
    """The example's parts, in this process and against those of others."""

    SMALL = {"vocab_size": 11, "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 3, "num_attention_heads": 6,
             "num_key_value_heads": 2, "head_dim": 4, "initializer_range": 0.5}

    def setUp(self):
        holder = tempfile.TemporaryDirectory(dir=place.folder)
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def network(self, **fields):
        """A small one with adapters that have learned something."""
        config = model.Config(**{**self.SMALL, **fields})
        made = network.Llama(config, model.random_weights(config, 1).by_name.items(), rank=2, layers=2, seed=1)
        for _, up in made.adapters.values():
            torch.nn.init.normal_(up)
        return config, made

    def change(self, name, **fields):
        """A copy of the model's small files, with one of them changed."""
        for kept in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(os.path.join(repository, kept), self.folder)
        path = os.path.join(self.folder, name)
        package.write_text(json.dumps({**json.loads(package.read_text(path)), **fields}), path)

    def write(self, name, *lines):
        package.write_text("".join(line + "\n" for line in lines), self.folder, name)
        return os.path.join(self.folder, name)

    def program(self, *words, **environment):
        command = ["/usr/bin/python3", os.path.join(LORA, "train.py"), *words]
        done = subprocess.run(command, env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stderr.strip()

    # ---- arithmetic ----

    def test_logits_are_those_of_the_formulas(self):
        """With adapters beside the weights, and with them merged into the weights; padding has no effect."""
        for fields in ({}, {"tie_word_embeddings": False, "rope_theta": 500.0}):
            config, made = self.network(**fields)
            merged = dict(zip(made.weights, made.merged()))
            changed = [name for name, weight in made.weights.items() if not np.allclose(weight.numpy(), merged[name])]
            self.assertEqual(changed, list(made.adapters))
            self.assertEqual(len(changed), 4)
            rows = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 0, 0]]
            chosen = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
            ours = made.logits(torch.tensor(rows), chosen).detach().numpy()
            theirs = np.concatenate([llama.logits(config, merged, rows[0]), llama.logits(config, merged, rows[1][:3])])
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)

    def test_only_answers_count(self):
        _, made = self.network()
        rows = [([1, 2, 3, 4, 5], 3), ([6, 7, 8], 1)]
        losses = []
        for tokens, before in rows:
            logits = made.logits(torch.tensor([tokens]), torch.ones(1, len(tokens), dtype=torch.bool)).log_softmax(-1)
            losses += [-logits[at - 1, tokens[at]].item() for at in range(before, len(tokens))]
        self.assertEqual(len(losses), 4)
        self.assertAlmostEqual(train.loss_of(made, rows).item(), sum(losses) / 4, places=4)

    def test_only_adapters_learn(self):
        _, made = self.network()
        train.loss_of(made, [([1, 2, 3, 4], 2)]).backward()
        self.assertEqual(len(made.parameters()), 8)
        self.assertTrue(all(part.grad.abs().sum() > 0 for part in made.parameters()))
        self.assertFalse(any(weight.requires_grad for weight in made.weights.values()))

    def test_what_does_not_fit_is_refused(self):
        _, made = self.network()
        with torch.no_grad():
            made.parameters()[1].fill_(1e30)
        with self.assertRaisesRegex(files.Refused, "too large"):
            list(made.merged())

    def test_every_row_comes_equally_often(self):
        source = train.batches(list("abcde"), 3)
        taken = [row for _ in range(10) for row in next(source)]
        self.assertEqual({row: taken.count(row) for row in "abcde"}, dict.fromkeys("abcde", 6))

    # ---- tokens ----

    def test_tokens(self):
        found = judged("tokens", repository)
        self.assertEqual(found["other"], [])
        self.assertGreater(found["texts"], 3000)

    def test_tokenizers(self):
        given = json.loads(package.read_text(repository, "tokenizer.json"))["model"]
        spaced, plain = [{"type": "ByteLevel", "add_prefix_space": space} for space in (True, False)]
        for fields in ({"normalizer": {"type": "NFC"}}, {"model": {**given, "type": "Unigram"}}, {"pre_tokenizer": None},
                       {"model": {**given, "ignore_merges": True}}, {"pre_tokenizer": spaced}, {"added_tokens": [{}]},
                       {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, plain]}},
                       {"model": None}, {"model": {"type": "BPE"}}, {"model": {**given, "merges": [1]}}):
            self.change("tokenizer.json", **fields)
            with self.subTest(list(fields)), self.assertRaisesRegex(files.Refused, "tokenizer.json"):
                bpe.Tokenizer(self.folder)
        # In the two forms that files have.
        merges = [pair.split(" ") if isinstance(pair, str) else " ".join(pair) for pair in given["merges"]]
        self.change("tokenizer.json", model={**given, "merges": merges})
        self.assertEqual(bpe.Tokenizer(self.folder).encode("Mortise 12"), bpe.Tokenizer(repository).encode("Mortise 12"))
        with self.assertRaisesRegex(files.Refused, "100 tokens only"):
            bpe.Tokenizer(self.folder).listing(100)

    # ---- conversations ----

    def test_a_conversation_becomes_tokens(self):
        """As the model's own template has it; the answer begins behind the last mark."""
        chat = train.Chat(repository)
        tokens, before = chat.tokens([{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}])
        said = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        self.assertEqual(tokens[before:], chat.tokenizer.encode(f"{ANSWER}<|im_end|>\n"))
        self.assertEqual(tokens[:before][-len(chat.tokenizer.encode(said)):], chat.tokenizer.encode(said))
        self.assertEqual(chat.mark_ids(), {"bos": 1, "eos": 2})

    def test_templates(self):
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        for template, words in ((None, "no chat template"), ("{% if", "is not one"), ("{{ raise_exception('never') }}", "never"),
                                ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "does not take"),
                                ("{{ messages[0].content + 1 }}", "does not take"),
                                ("{{ messages | length }}{{ messages[-1].content }}", "changes a question")):
            self.change("tokenizer_config.json", chat_template=template)
            with self.subTest(template), self.assertRaisesRegex(files.Refused, words):
                train.Chat(self.folder).tokens(messages)
        self.write("chat_template.jinja", "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
        tokens, before = train.Chat(self.folder).tokens(messages)
        self.assertEqual((before, len(tokens)), (2, 4))

    def test_data(self):
        good = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
        self.write("b.jsonl", good)
        self.write("a.jsonl", good, "", good)
        self.write("c.txt", "nothing")
        self.assertEqual(len(list(train.conversations(self.folder))), 3)
        for line in ("{", "[]", "{}", '{"messages": []}', '{"messages": [{"role": "user", "content": "a"}]}', "[" * 100000,
                     '{"messages": [{"role": "assistant", "content": 1}]}'):
            path = self.write("bad.jsonl", good, line)
            with self.subTest(line[:50]), self.assertRaisesRegex(files.Refused, "bad.jsonl, line 2"):
                list(train.conversations(path))

    def test_conversations_that_are_too_long_are_left_out(self):
        data, chat, said = os.path.join(LORA, "questions.jsonl"), train.Chat(repository), io.StringIO()
        with contextlib.redirect_stdout(said):
            rows = train.read_rows(argparse.Namespace(data=data, longest=50), chat)
        self.assertTrue(0 < len(rows) < 12 and max(len(tokens) for tokens, _ in rows) <= 50, rows)
        self.assertIn(f"{12 - len(rows)} of 12 conversations are longer", said.getvalue())
        with self.assertRaisesRegex(files.Refused, "short enough"):
            train.read_rows(argparse.Namespace(data=data, longest=5), chat)

    # ---- the program ----

    def test_it_says_what_is_missing(self):
        package.write_text("raise ImportError(\"No module named 'torch'\")", self.folder, "torch.py")
        for environment, status, words in (
                ({"PYTHONPATH": self.folder}, 1, "No module named 'torch'; on Debian: apt install python3-torch libopenblas0-"),
                ({"TENON_MODEL": repository}, 2, "no output: set TENON_OUTPUT"),
                ({"TENON_MODEL": self.folder, "TENON_OUTPUT": self.folder}, 2, "cannot read .*/config.json: No such file")):
            ended, said = self.program(**environment)
            self.assertEqual(ended, status, said)
            self.assertRegex(said.splitlines()[-1], f"^(train.py: |usage).*{words}")


if __name__ == "__main__":
    suite.main()
