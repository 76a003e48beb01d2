"""The example workload: its arithmetic, its files, its training and its server."""

import errno
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

from programs import ROOT, TINY, WORKLOAD, Program, Service

sys.dont_write_bytecode = True
sys.path[:0] = [str(WORKLOAD), str(ROOT / "tests" / "support")]

import files
import folder
import model
import numpy as np

import generate
import llama
import suite
import tokens
import train

SMALL = dict(vocab_size=11, hidden_size=12, intermediate_size=10, num_attention_heads=6, num_key_value_heads=2, head_dim=4,
             initializer_range=0.5)
QUESTION = [{"role": "user", "content": "What is a tenon?"}]
TENON = "A tenon is a tongue on the end of a piece of wood. It fits into a mortise."

TOOL_REQUEST = {
    "messages": [{"role": "user", "content": "Cut \"this\"."}],
    "tools": [
        {"type": "function", "function": {"name": "saw"}},
        {"type": "function", "function": {"name": "cut", "parameters": {"type": "object", "properties": {
            "wood": {"type": "string", "enum": ["oak", "pine"]},
            "why": {"type": "string"},
            "size": {"type": "object", "properties": {"mm": {"type": "integer"}}}}}}}],
    "tool_choice": {"type": "function", "function": {"name": "cut"}}}
TOOL_ARGUMENTS = {"wood": "oak", "why": "Cut \"this\".", "size": {"mm": 0}}

scratch = trained = training = None


def setUpModule():
    """One training with the defaults, as the job's recipe runs it; many tests look at what came of it."""
    global scratch, trained, training
    scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
    trained = pathlib.Path(scratch.name, "trained")
    training = Program("train.py", TENON_MODEL=TINY, TENON_MODEL_ID="tenon/tiny", TENON_OUTPUT=trained, TENON_JOB_ID="local:1",
                       TENON_THREADS=1)
    training.status, training.errors = training.end()


def tearDownModule():
    scratch.cleanup()


def small_model(**changes):
    """A model in double precision in which nothing is zero or one."""
    config = model.Config(**{**SMALL, **changes})
    weights = model.Parameters(config, np.float64)
    random = np.random.default_rng(7)
    weights.flat[:] = model.random_weights(config, 3).flat + 0.1 * random.standard_normal(weights.flat.size)
    return config, weights, random


class Arithmetic(unittest.TestCase):
    def test_forward_is_that_of_llama(self):
        for changes in ({}, {"tie_word_embeddings": False}, {"num_key_value_heads": 6}, {"num_key_value_heads": 1},
                        {"head_dim": 6}):
            with self.subTest(changes):
                config, weights, random = small_model(**changes)
                rows = random.integers(0, config.vocab_size, (2, 9))
                result, _ = model.forward(config, weights, rows)
                for row, expected in zip(result, rows):
                    np.testing.assert_allclose(row, llama.logits(config, weights.by_name, expected), rtol=1e-9, atol=1e-11)

    def test_forward_of_the_tiny_model(self):
        config = folder.read_config(TINY)
        weights = folder.read_weights(TINY, config)
        row = tokens.encode("What is a tenon?")
        result, _ = model.forward(config, weights, np.array([row]))
        np.testing.assert_allclose(result[0], llama.logits(config, weights.by_name, row), atol=1e-4)

    def test_gradients_are_those_of_the_loss(self):
        for changes in ({}, {"tie_word_embeddings": False}):
            config, weights, random = small_model(**changes)
            rows = random.integers(0, config.vocab_size, (2, 8))
            self._compare(config, weights, rows[:, :-1], rows[:, 1:], random)

    def _compare(self, config, weights, inputs, targets, random):
        """Some values of every weight are moved a little; the loss must follow the gradient."""
        _, gradients = model.loss_and_gradients(config, weights, inputs, targets)
        for name, part in weights.by_name.items():
            for index in random.choice(part.size, min(part.size, 12), replace=False):
                values, losses = part.reshape(-1), []
                for change in (1e-5, -1e-5):
                    values[index] += change
                    losses.append(model.loss_and_gradients(config, weights, inputs, targets)[0])
                    values[index] -= change
                slope = (losses[0] - losses[1]) / 2e-5
                self.assertAlmostEqual(slope, gradients.by_name[name].reshape(-1)[index], 7, f"{name}[{index}]")

    def test_nothing_is_known_of_what_comes_later(self):
        config, weights, random = small_model()
        rows = random.integers(0, config.vocab_size, (1, 8))
        other = rows.copy()
        other[0, 5:] = (other[0, 5:] + 1) % config.vocab_size
        (before, _), (after, _) = model.forward(config, weights, rows), model.forward(config, weights, other)
        np.testing.assert_array_equal(before[0, :5], after[0, :5])
        self.assertFalse(np.allclose(before[0, 5:], after[0, 5:]))

    def test_the_cache_changes_nothing(self):
        config = folder.read_config(trained)
        weights = folder.read_weights(trained, config)
        prompt = tokens.chat([("user", "What is a mortise?")], 100)
        found = list(generate.generate(config, weights, prompt, 60))
        self.assertGreater(len(found), 20)
        without = list(prompt)
        for token in found:
            result, _ = model.forward(config, weights, np.array([without]))
            self.assertEqual(int(result[0, -1].argmax()), token)
            without.append(token)

    def test_sampling_follows_the_shares(self):
        logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
        random = np.random.default_rng(1)
        draw = lambda *options: np.bincount([generate.choose(logits, *options, random) for _ in range(4000)], minlength=4) / 4000
        np.testing.assert_allclose(draw(1, 1), [0.5, 0.3, 0.15, 0.05], atol=0.03)
        np.testing.assert_allclose(draw(1, 0.7), [0.625, 0.375, 0, 0], atol=0.03)
        np.testing.assert_array_equal(draw(1, 0), [1, 0, 0, 0])
        np.testing.assert_array_equal(draw(1e-320, 1), [1, 0, 0, 0])
        np.testing.assert_array_equal(draw(0, 1), [1, 0, 0, 0])


class Tokens(unittest.TestCase):
    def test_marks_are_tokens_only_where_they_are_spelled_out_as_data(self):
        self.assertEqual(tokens.encode_marked(b"<|user|>a<|assistant|>\xff<|end|>").tolist(), [257, 97, 258, 255, 256])
        self.assertEqual(tokens.encode("<|end|>"), list(b"<|end|>"))

    def test_a_conversation(self):
        said = [("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V")]
        whole = [*b"S\n\n", 257, *b"U", 258, *b"A", 256, *b"\n\n", 257, *b"V", 258]
        self.assertEqual(tokens.chat(said, len(whole)), whole)
        self.assertEqual(tokens.chat(said, len(whole) - 1), whole[3:])
        self.assertEqual(tokens.chat(said, 0), [257, *b"V", 258])

    def test_tokenizer_file(self):
        found = json.loads((TINY / "tokenizer.json").read_text())
        self.assertEqual([found["model"]["vocab"][f"<0x{i:02X}>"] for i in range(256)], list(range(256)))
        marks = {mark["content"]: mark["id"] for mark in found["added_tokens"]}
        self.assertEqual(marks, dict(zip(tokens.MARKS, range(256, 259))))

    def test_chat_template(self):
        try:
            import jinja2
        except ImportError:
            self.skipTest("python3-jinja2 is not installed")
        template = json.loads((TINY / "tokenizer_config.json").read_text())["chat_template"]
        said = [("system", "Be brief."), ("user", "What?"), ("assistant", "That.\nAll of it."), ("user", "Why?")]
        text = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render(
            messages=[{"role": role, "content": content} for role, content in said], add_generation_prompt=True)
        self.assertEqual(tokens.encode_marked(text.encode()).tolist(), tokens.chat(said, 1000))

    def test_a_character_appears_when_it_is_whole(self):
        decoder = tokens.Decoder()
        self.assertEqual([decoder.feed(byte) for byte in "aé🙂".encode()], ["a", "", "é", "", "", "", "🙂"])
        self.assertEqual(decoder.feed(0xC3) + decoder.finish(), "\N{REPLACEMENT CHARACTER}")


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=scratch.name)
        self.path = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)
        for name in ("config.json", "model.safetensors"):
            (self.path / name).write_bytes((TINY / name).read_bytes())

    def change(self, **fields):
        config = json.loads((TINY / "config.json").read_text())
        (self.path / "config.json").write_text(json.dumps({**config, **fields}))

    def store(self, table, data):
        header = json.dumps(table).encode()
        (self.path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)

    def read(self):
        return folder.read_weights(self.path, folder.read_config(self.path))

    def table(self):
        data = (TINY / "model.safetensors").read_bytes()
        size, = struct.unpack("<Q", data[:8])
        return json.loads(data[8:8 + size]), data[8 + size:]

    def test_the_file_is_as_safetensors_wants_it(self):
        table, data = self.table()
        self.assertEqual(table.pop("__metadata__"), {"format": "pt"})
        self.assertEqual(table["model.layers.1.self_attn.k_proj.weight"]["shape"], [32, 64])
        end = 0
        for entry in sorted(table.values(), key=lambda entry: entry["data_offsets"]):
            self.assertEqual((entry["dtype"], entry["data_offsets"][0]), ("F32", end))
            end = entry["data_offsets"][1]
            self.assertEqual(end - entry["data_offsets"][0], 4 * int(np.prod(entry["shape"])))
        self.assertEqual(end, len(data))
        self.assertEqual(((TINY / "model.safetensors").stat().st_size - len(data)) % 8, 0)

    def test_what_is_written_is_read_again(self):
        config = model.Config(num_hidden_layers=1, tie_word_embeddings=False, rope_theta=500.0)
        weights = model.random_weights(config, 5)
        folder.write(self.path, config, weights, "card")
        self.assertEqual(folder.read_config(self.path), config)
        np.testing.assert_array_equal(self.read().flat, weights.flat)

    def test_half_precision_is_read(self):
        table, data = self.table()
        table.pop("__metadata__")
        values = np.frombuffer(data, "<f4")
        halves = {"F16": values.astype("<f2").tobytes(), "BF16": (values.view("<u4") >> 16).astype("<u2").tobytes()}
        for kind, stored in halves.items():
            for entry in table.values():
                entry["dtype"] = kind
            self.store({name: {**entry, "data_offsets": [offset // 2 for offset in entry["data_offsets"]]}
                        for name, entry in table.items()}, stored)
            np.testing.assert_allclose(self.read().flat, values, atol=2e-3)

    def test_configurations_that_cannot_be_used(self):
        for name, value in (("model_type", "gpt2"), ("hidden_size", 0), ("hidden_size", "64"), ("hidden_size", True),
                            ("num_hidden_layers", 1 << 40), ("vocab_size", 32000), ("rope_theta", -1),
                            ("rope_theta", float("inf")), ("rms_norm_eps", float("nan")), ("rms_norm_eps", None),
                            ("rope_scaling", {"type": "linear"}), ("attention_bias", True)):
            with self.subTest(name, value=value):
                self.change(**{name: value})
                with self.assertRaisesRegex(folder.Refused, name):
                    folder.read_config(self.path)

    def test_heads_that_do_not_fit_together(self):
        for fields in ({"num_key_value_heads": 3}, {"head_dim": 15}, {"head_dim": None, "num_attention_heads": 128}):
            self.change(**fields)
            with self.assertRaisesRegex(folder.Refused, "heads"):
                folder.read_config(self.path)

    def test_a_configuration_that_is_no_object(self):
        for text in ("", "[]", "{", "[" * 100000):
            (self.path / "config.json").write_text(text)
            with self.assertRaisesRegex(folder.Refused, "JSON"):
                folder.read_config(self.path)

    def test_a_configuration_may_leave_the_size_of_heads_out(self):
        self.change(head_dim=None)
        self.assertEqual(folder.read_config(self.path).head_dim, 16)

    def test_weights_that_are_cut_off(self):
        whole = (TINY / "model.safetensors").read_bytes()
        for size in (0, 7, 8, 100, 3000, len(whole) // 2, len(whole) - 1):
            (self.path / "model.safetensors").write_bytes(whole[:size])
            with self.assertRaises(folder.Refused, msg=f"{size} bytes"):
                self.read()

    def test_weights_with_a_broken_table(self):
        table, data = self.table()
        name = "model.norm.weight"
        for entry in (None, {}, 7, {**table[name], "dtype": "I64"}, {**table[name], "shape": [65]},
                      {**table[name], "data_offsets": [-4, 252]}, {**table[name], "data_offsets": [0, 1 << 70]},
                      {**table[name], "data_offsets": [len(data), len(data) + 256]},
                      {**table[name], "data_offsets": ["0", "256"]}):
            with self.subTest(entry):
                self.store({**table, name: entry}, data)
                with self.assertRaisesRegex(folder.Refused, name):
                    self.read()
        for header in (b"[]", b"{", b"\xff", b"[" * 100000):
            (self.path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
            with self.assertRaisesRegex(folder.Refused, "header"):
                self.read()
        (self.path / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 63) + data)
        with self.assertRaisesRegex(folder.Refused, "not a safetensors file"):
            self.read()

    def test_weights_that_are_not_finite(self):
        table, data = self.table()
        self.store(table, struct.pack("<f", float("nan")) + data[4:])
        with self.assertRaisesRegex(folder.Refused, "finite"):
            self.read()

    def test_a_full_disk_leaves_the_old_file(self):
        before = (self.path / "model.safetensors").read_bytes()
        with mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            with self.assertRaises(OSError):
                files.replace(str(self.path / "model.safetensors"), [b"new"])
        self.assertEqual((self.path / "model.safetensors").read_bytes(), before)
        self.assertEqual(sorted(os.listdir(self.path)), ["config.json", "model.safetensors"])


class Training(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(dir=scratch.name)
        self.addCleanup(holder.cleanup)
        self.output = pathlib.Path(holder.name, "output")

    def train(self, *arguments, **environment):
        return Program("train.py", *arguments, TENON_MODEL=TINY, TENON_OUTPUT=self.output, **environment)

    def test_the_loss_falls(self):
        self.assertEqual((training.status, training.errors), (0, ""))
        measured = training.metrics()
        self.assertGreater(measured[0]["loss"], 5)
        self.assertLess(measured[-1]["loss"], 1)
        self.assertEqual([measured[0]["step"], measured[-1]["step"]], [1, measured[-1]["steps"]])
        for line in measured:
            self.assertEqual(set(line), {
                "step", "steps", "loss", "learning_rate", "tokens_per_second", "gradient_norm", "epoch"})
            self.assertTrue(all(np.isfinite(value) and value > 0 for value in line.values()), line)

    def test_the_card_says_how_it_was_made(self):
        text = (trained / "README.md").read_text()
        for fact in ("license: apache-2.0", "pipeline_tag: text-generation", "base_model: tenon/tiny", "from tenon/tiny:",
                     "text.txt"):
            self.assertIn(fact, text)
        self.assertIn(f"{training.metrics()[-1]['loss']:.2f} at the last", text)

    def test_it_can_be_trained_further_or_anew(self):
        for fresh, low, high in (("0", 0, 1), ("1", 5, 7)):
            with Program("train.py", "--steps", 1, TENON_MODEL=trained, TENON_OUTPUT=self.output, FRESH=fresh) as program:
                self.assertEqual(program.end(), (0, ""))
                self.assertTrue(low < program.metrics()[0]["loss"] < high, program.lines)

    def test_a_model_without_weights_begins_with_random_ones(self):
        folder_without = self.output.parent / "model"
        folder_without.mkdir()
        (folder_without / "config.json").write_bytes((TINY / "config.json").read_bytes())
        with Program("train.py", "--steps", 0, "--seed", 1, TENON_MODEL=folder_without, TENON_OUTPUT=self.output) as program:
            self.assertEqual(program.end(), (0, ""))
        self.assertEqual((self.output / "model.safetensors").read_bytes(), (TINY / "model.safetensors").read_bytes())

    def test_the_same_seed_gives_the_same_model(self):
        found = []
        for seed in (4, 4, 5):
            with self.train("--steps", 4, "--seed", seed) as program:
                self.assertEqual(program.end(), (0, ""))
            found.append((self.output / "model.safetensors").read_bytes())
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])

    def test_sigterm_saves(self):
        with self.train("--steps", 100000, "--report-every", 1) as program:
            program.wait_for('"step": 3')
            self.assertEqual(program.end(signal.SIGTERM), (0, ""))
            step = program.metrics()[-1]["step"]
            self.assertIn(f"stopped after step {step}:", program.lines[-1])
        self.assertIn(f"| steps | {step:,} of 100,000", (self.output / "README.md").read_text())
        saved = folder.read_weights(self.output, folder.read_config(self.output))
        before = folder.read_weights(TINY, folder.read_config(TINY))
        self.assertGreater(np.abs(saved.flat - before.flat).max(), 1e-4)

    def test_a_kill_leaves_the_newest_whole_state(self):
        with self.train("--steps", 100000, "--save-every", 2) as program:
            program.wait_for("saved step 4")
            program.end(signal.SIGKILL)
        folder.read_weights(self.output, folder.read_config(self.output))

    def test_a_folder_of_texts_and_a_short_one(self):
        texts = self.output.parent / "texts" / "deep"
        texts.mkdir(parents=True)
        (texts / "a.txt").write_bytes(b"abc \xff\n\ndef")
        (texts / "b.md").write_text("not this")
        with self.train("--steps", 2, TENON_DATA=texts.parent) as program:
            self.assertEqual(program.end(), (0, ""))
            self.assertIn("12 tokens", program.lines[0])
        self.assertNotIn("license:", (self.output / "README.md").read_text())

    def test_every_paragraph_comes_in_every_epoch(self):
        parts = train.paragraphs(b"\n\n".join(b"%04d" % i * (1 + i % 9) for i in range(100)))
        pieces, random = train.cut(parts, 32), np.random.default_rng(1)
        begins = {bytes(piece.astype(np.uint8)) for piece in pieces}
        for _ in range(5):
            found = [bytes(window.astype(np.uint8)) for window in train.epoch(pieces, 32, random)]
            for piece in begins:
                self.assertTrue(any(piece in window for window in found), piece)
            for window in found:
                self.assertEqual(len(window), 33)
                self.assertTrue(any(window.startswith(piece) for piece in begins), window)

    def test_the_shortest_text(self):
        for text in (b"a", b"ab", b"a\n\nb"):
            parts = train.paragraphs(text)
            size = sum(map(len, parts)) - 1
            for window in train.epoch(train.cut(parts, size), size, np.random.default_rng(1)):
                self.assertEqual(len(window), size + 1)

    def test_inputs_that_cannot_be_used(self):
        empty, broken = self.output.parent / "empty.txt", self.output.parent / "broken"
        empty.write_text("\n \n")
        broken.mkdir()
        (broken / "config.json").write_bytes((TINY / "config.json").read_bytes())
        (broken / "model.safetensors").write_text("not a model")
        for name, value, reason in (
                ("TENON_MODEL", "", "no model"), ("TENON_MODEL", "/nowhere", "cannot read /nowhere/config.json"),
                ("TENON_MODEL", broken, "model.safetensors is cut off"), ("TENON_OUTPUT", "", "no output folder"),
                ("TENON_DATA", "/nowhere.txt", "cannot read /nowhere.txt"), ("TENON_DATA", empty, "no text"),
                ("TENON_DATA", broken, "no text")):
            with self.subTest(name, value=value), Program(
                    "train.py", **{"TENON_MODEL": TINY, "TENON_OUTPUT": self.output, name: value}) as program:
                status, errors = program.end()
                self.assertEqual(status, 2)
                self.assertIn(reason, errors.splitlines()[-1])
                self.assertNotIn("Traceback", errors)
                self.assertFalse(self.output.exists())

    def test_an_output_that_cannot_be_written(self):
        self.output.write_text("a file")
        with self.train("--steps", 1) as program:
            status, errors = program.end()
        self.assertEqual((status, errors), (1, f"train.py: cannot write {self.output}: File exists\n"))

    def test_a_loss_that_is_not_a_number(self):
        with self.train("--learning-rate", "1e30", "--warm-up", 0) as program:
            status, errors = program.end()
        self.assertEqual(status, 2)
        self.assertIn("lower learning rate", errors.splitlines()[-1])


class Recipes(unittest.TestCase):
    def test_they_hold_what_the_header_documents(self):
        header = (ROOT / "include" / "tenon.h").read_text()
        text = header[header.index("A recipe is a JSON document"):header.index("Only command is required")]
        for name in ("train.json", "serve.json"):
            recipe = json.loads((WORKLOAD / name).read_text())
            for field in [*recipe, *recipe["resources"]]:
                self.assertIn(f'"{field}"', text)
            self.assertTrue((WORKLOAD / recipe["command"][1]).is_file())

    def test_promised_outputs_are_there(self):
        for name in json.loads((WORKLOAD / "train.json").read_text())["outputs"]:
            self.assertTrue((trained / name).is_file(), name)


class TinyModel(unittest.TestCase):
    def test_the_command_of_its_card_makes_it(self):
        command, = re.findall(r"^    (python3 train\.py .*)$", (TINY / "README.md").read_text(), re.MULTILINE)
        made = os.path.join(scratch.name, "made")
        words = [made if word == "FOLDER" else word for word in shlex.split(command)]
        subprocess.run([sys.executable, "-B", *words[1:]], cwd=WORKLOAD, check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(sorted(os.listdir(made)), sorted(os.listdir(TINY)))
        for name in os.listdir(made):
            self.assertEqual(pathlib.Path(made, name).read_bytes(), (TINY / name).read_bytes(), name)
        self.assertLess(sum(file.stat().st_size for file in TINY.iterdir()), 2 << 20)


class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service(trained, TENON_MODEL_ID="tenon/tuned")
        cls.addClassCleanup(cls.service.__exit__)

    def setUp(self):
        self.ask, self.chat, self.complete = self.service.ask, self.service.chat, self.service.complete

    def test_health_and_models(self):
        self.assertEqual(self.ask("GET", "/health"), (200, {"status": "ok"}))
        status, answer = self.ask("GET", "/v1/models")
        self.assertEqual((status, [found["id"] for found in answer["data"]]), (200, ["tenon/tuned"]))
        self.assertEqual(answer["data"][0]["max_model_len"], 256)

    def test_it_knows_what_it_learned(self):
        text, reason, usage = self.chat("What is a tenon?")
        self.assertEqual((text, reason), (TENON, "stop"))
        self.assertEqual(usage, {"prompt_tokens": 18, "completion_tokens": len(TENON), "total_tokens": 18 + len(TENON)})

    def test_a_streamed_chat_is_the_whole_one(self):
        *chunks, done = self.service.stream("/v1/chat/completions", {"messages": QUESTION})
        self.assertEqual(done, "[DONE]")
        self.assertEqual({(chunk["object"], chunk["id"]) for chunk in chunks}, {("chat.completion.chunk", chunks[0]["id"])})
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        self.assertEqual(deltas[0], {"role": "assistant", "content": ""})
        self.assertEqual("".join(delta.get("content", "") for delta in deltas), TENON)
        self.assertGreater(len(chunks), len(TENON) // 2)
        self.assertEqual([chunk["choices"][0]["finish_reason"] for chunk in chunks], [None] * (len(chunks) - 1) + ["stop"])

    def test_usage_of_a_stream(self):
        body = {"messages": QUESTION, "max_tokens": 5, "stream_options": {"include_usage": True}}
        *_, last, usage, done = self.service.stream("/v1/chat/completions", body)
        self.assertEqual((last["choices"][0]["finish_reason"], done), ("length", "[DONE]"))
        self.assertEqual((usage["choices"], usage["usage"]), ([], {"prompt_tokens": 18, "completion_tokens": 5, "total_tokens": 23}))

    def test_completions_whole_and_streamed(self):
        marked = "<|user|>What is a tenon?<|assistant|>"
        self.assertEqual(self.complete(marked, max_tokens=200)[:2], (TENON, "stop"))
        self.assertEqual(self.complete([marked])[:2], (TENON[:16], "length"))
        *chunks, done = self.service.stream("/v1/completions", {"prompt": marked, "max_tokens": 200})
        self.assertEqual("".join(chunk["choices"][0]["text"] for chunk in chunks), TENON)
        self.assertEqual((chunks[-1]["choices"][0]["finish_reason"], done), ("stop", "[DONE]"))

    def test_stop_texts(self):
        for stop, expected in ((" tongue", "A tenon is a"), (["piece", "the end"], "A tenon is a tongue on "), ("never", TENON),
                               (["A tenon"], ""), ("mortise.?", TENON)):
            self.assertEqual(self.chat("What is a tenon?", stop=stop)[:2], (expected, "stop"))
            chunks = self.service.stream("/v1/chat/completions", {"messages": QUESTION, "stop": stop})[:-1]
            self.assertEqual("".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks), expected)

    def test_seeds_and_temperature(self):
        draw = lambda seed: self.complete("A", temperature=1.5, seed=seed, max_tokens=60)[0]
        self.assertEqual(draw(1), draw(1))
        self.assertEqual(draw(-1), draw(-1))
        self.assertGreater(len({draw(seed) for seed in range(5)}), 1)
        self.assertEqual(self.chat("What is a tenon?", temperature=0, top_p=0.1, seed=9)[0], TENON)

    def test_the_context_is_an_end(self):
        # Chance may end an answer before; which seeds do so depends on how the installed BLAS rounds.
        ends = [self.complete("a" * 250, max_tokens=100, temperature=2, seed=seed)[1:] for seed in range(5)]
        self.assertIn(("length", 256), [(reason, usage["total_tokens"]) for reason, usage in ends])
        self.assertTrue(all(usage["total_tokens"] <= 256 for _, usage in ends), ends)
        status, answer = self.ask("POST", "/v1/completions", {"prompt": "a" * 256})
        self.assertEqual((status, answer["error"]["code"]), (400, "context_length_exceeded"))

    def test_a_long_conversation_goes_on(self):
        said = [{"role": "system", "content": "You know wood. " * 40}]
        for question in ["What is a tenon?", "Hello"] * 6:
            said.append({"role": "user", "content": question})
            status, answer = self.ask("POST", "/v1/chat/completions", {"messages": said, "model": "tenon/tuned"})
            self.assertEqual(status, 200)
            said.append(answer["choices"][0]["message"])
            self.assertTrue(said[-1]["content"])

    def test_any_text_may_come(self):
        parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "a tenon?"}]
        self.assertEqual(self.chat(parts)[0], TENON)
        for text in ("", "ü🙂", "\ud800", "<|end|><|assistant|>", "\0"):
            self.chat(text, max_tokens=3)
            self.complete(text + "x", max_tokens=3)

    def test_a_tool_call(self):
        status, whole = self.ask("POST", "/v1/chat/completions", TOOL_REQUEST)
        choice = whole["choices"][0]
        call, = choice["message"]["tool_calls"]
        self.assertEqual((status, choice["finish_reason"], choice["message"]["content"]), (200, "tool_calls", None))
        self.assertEqual((call["type"], call["function"]["name"]), ("function", "cut"))
        self.assertEqual(json.loads(call["function"]["arguments"]), TOOL_ARGUMENTS)

    def test_a_tool_call_in_pieces(self):
        *chunks, done = self.service.stream("/v1/chat/completions", TOOL_REQUEST)
        calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
        self.assertEqual((calls[0]["function"]["name"], calls[0]["id"][:5]), ("cut", "call_"))
        self.assertEqual({call["index"] for call in calls}, {0})
        self.assertFalse(any("id" in call or "name" in call["function"] for call in calls[1:]))
        self.assertEqual(json.loads("".join(call["function"]["arguments"] for call in calls)), TOOL_ARGUMENTS)
        self.assertGreater(len(calls), 3)
        self.assertEqual((chunks[-1]["choices"][0]["finish_reason"], done), ("tool_calls", "[DONE]"))

    def test_a_tool_that_is_required_or_not(self):
        _, whole = self.ask("POST", "/v1/chat/completions", {**TOOL_REQUEST, "tool_choice": "required"})
        call, = whole["choices"][0]["message"]["tool_calls"]
        self.assertEqual(call["function"], {"name": "saw", "arguments": "{}"})
        for choice in ("auto", "none", None):
            text, reason, _ = self.chat("What is a tenon?", tools=TOOL_REQUEST["tools"], tool_choice=choice)
            self.assertEqual((text, reason), (TENON, "stop"))

    def test_an_answer_of_a_tool_goes_back(self):
        call = {"id": "call_1", "type": "function", "function": {"name": "saw", "arguments": "{}"}}
        said = [{"role": "user", "content": "Saw."}, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": "done"}]
        self.assertEqual(self.ask("POST", "/v1/chat/completions", {"messages": said})[0], 200)

    def test_requests_that_are_refused(self):
        user = [{"role": "user", "content": "a"}]
        chat, complete = "/v1/chat/completions", "/v1/completions"
        for path, body, status in (
                (chat, b"{", 400), (chat, b"", 400), (chat, b"[]", 400), (chat, b"\xff", 400), (chat, b"[" * 100000, 400),
                (chat, {}, 400), (chat, {"messages": []}, 400), (chat, {"messages": "a"}, 400), (chat, {"messages": [7]}, 400),
                (chat, {"messages": [{"role": "king", "content": "a"}]}, 400), (chat, {"messages": [{"role": "user"}]}, 400),
                (chat, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400),
                (chat, {"messages": user, "max_tokens": 0}, 400), (chat, {"messages": user, "max_tokens": "9"}, 400),
                (chat, {"messages": user, "temperature": 3}, 400), (chat, {"messages": user, "temperature": True}, 400),
                (chat, b'{"messages": [{"role": "user", "content": "a"}], "temperature": NaN}', 400),
                (chat, {"messages": user, "stop": ["a"] * 5}, 400), (chat, {"messages": user, "stop": [""]}, 400),
                (chat, {"messages": user, "n": 2}, 400), (chat, {"messages": user, "logprobs": True}, 400),
                (chat, {"messages": user, "stream": "yes"}, 400), (chat, {"messages": user, "tool_choice": "required"}, 400),
                (chat, {"messages": user, "tools": [{}]}, 400), (chat, {"messages": user, "model": "other"}, 404),
                (complete, {}, 400), (complete, {"prompt": ""}, 400), (complete, {"prompt": ["a", "b"]}, 400),
                (complete, {"prompt": [[1]]}, 400),
                ("/v1/embeddings", {"input": "a"}, 404), ("/nothing", {}, 404), ("/health", {}, 405)):
            with self.subTest(path=path, body=body if len(body) < 100 else "long"):
                found, answer = self.ask("POST", path, body)
                self.assertEqual(found, status)
                self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
        self.assertEqual(self.ask("GET", chat)[0], 405)
        self.assertEqual(self.ask("BREW", chat)[0], 501)
        self.assertEqual(self.chat("What is a tenon?")[0], TENON)

    def test_bodies_without_end(self):
        for header in (b"Content-Length: 99999999999", b"Content-Length: -1", b"Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", self.service.port), 60) as connection:
                connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
                self.assertIn(b" 413 ", connection.makefile("rb").read())

    def test_one_connection_serves_many_requests(self):
        connection = self.service.connect()
        connection.connect()
        held = connection.sock
        for path, body, status in (("/v1/completions", {"prompt": "a"}, 200), ("/v1/completions", b"{", 400), ("/none", {}, 404),
                                   ("/v1/chat/completions", {"messages": QUESTION}, 200)):
            self.assertEqual(self.ask("POST", path, body, connection)[0], status)
            self.assertIs(connection.sock, held)
        connection.close()

    def test_many_clients_at_once(self):
        answers = []
        clients = [threading.Thread(target=lambda: answers.append(self.chat("What is a tenon?")[0])) for _ in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(answers, [TENON] * 12)


class ServingOnItsOwn(unittest.TestCase):
    def test_a_key(self):
        with Service(TINY, TENON_API_KEY="secret") as service:
            for headers, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Basic secret"}, 401),
                                    ({"Authorization": "Bearer secret\xff"}, 401), ({"Authorization": "Bearer secret"}, 200)):
                found, answer = service.ask("GET", "/v1/models", **headers)
                self.assertEqual(found, status)
                if status == 401:
                    self.assertEqual(answer["error"]["code"], "invalid_api_key")
            self.assertEqual(service.ask("GET", "/health")[0], 200)
            self.assertEqual(service.ask("POST", "/v1/completions", {"prompt": "a"})[0], 401)
            self.assertNotIn("secret", "".join(service.lines))

    def test_health_while_the_model_loads(self):
        """config.json is a pipe, so the model is loaded when the test writes it."""
        with tempfile.TemporaryDirectory(dir=scratch.name) as path, socket.socket() as chosen:
            pathlib.Path(path, "model.safetensors").write_bytes((TINY / "model.safetensors").read_bytes())
            pipe = pathlib.Path(path, "config.json")
            os.mkfifo(pipe)
            chosen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            chosen.bind(("127.0.0.1", 0))
            with Program("serve.py", TENON_MODEL=path, TENON_PORT=chosen.getsockname()[1]) as program:
                program.wait_for("loading")
                program.port, program.connect = chosen.getsockname()[1], lambda: Service.connect(program)
                for route in ("/health", "/v1/models"):
                    status, answer = Service.ask(program, "GET", route)
                    self.assertEqual((status, answer["error"]["message"]), (503, "Loading model"))
                pipe.write_bytes((TINY / "config.json").read_bytes())
                program.wait_for("serving")
                self.assertEqual(Service.ask(program, "GET", "/health"), (200, {"status": "ok"}))

    def test_a_client_that_leaves_ends_its_answer(self):
        """The model has an endless context, and its weights say "a" for ever."""
        with tempfile.TemporaryDirectory(dir=scratch.name) as path:
            config = model.Config(max_position_embeddings=1 << 20, num_hidden_layers=1)
            weights = model.random_weights(config, 1)
            weights.embedding[:] = 0
            weights.embedding[ord("a")] = 1
            folder.write(path, config, weights, "card")
            with Service(path) as service:
                connection = service.connect()
                body = {"prompt": "a", "max_tokens": 1 << 19, "stream": True}
                connection.request("POST", "/v1/completions", json.dumps(body))
                response = connection.getresponse()
                self.assertIn(b'"text": ""', response.readline())
                response.close()
                connection.close()
                line = service.wait_for("the client left")
                self.assertLess(int(re.search(r"after (\d+) tokens", line)[1]), 1 << 19)

    def test_sigterm_ends_it_at_once(self):
        with Service(TINY) as service:
            idle = service.connect()
            idle.connect()
            self.assertEqual(service.end(signal.SIGTERM), (0, ""))
            idle.close()

    def test_sigterm_while_the_model_loads(self):
        with tempfile.TemporaryDirectory(dir=scratch.name) as path:
            os.mkfifo(os.path.join(path, "config.json"))
            with Program("serve.py", TENON_MODEL=path, TENON_PORT=0) as program:
                program.wait_for("loading")
                self.assertEqual(program.end(signal.SIGTERM), (0, ""))

    def test_a_port_that_is_in_use(self):
        with Service(TINY) as service, Program("serve.py", TENON_MODEL=TINY, TENON_PORT=service.port) as second:
            self.assertEqual(second.end(), (98, f"serve.py: Address already in use: 127.0.0.1 port {service.port}\n"))

    def test_inputs_that_cannot_be_used(self):
        for name, value, reason in (
                ("TENON_MODEL", "", "no model"), ("TENON_MODEL", "/nowhere", "cannot read /nowhere/config.json"),
                ("TENON_PORT", "http", "not a port"), ("TENON_PORT", "70000", "not a port")):
            with self.subTest(name, value=value), Program(
                    "serve.py", **{"TENON_MODEL": TINY, "TENON_PORT": 0, name: value}) as program:
                status, errors = program.end()
                self.assertEqual((status, len(errors.splitlines())), (2, 1))
                self.assertIn(reason, errors)


if __name__ == "__main__":
    suite.main()
