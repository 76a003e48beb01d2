"""Teaches a model of the Llama architecture by adapters (LoRA): a program that runs as a tenon job, or by hand.

It reads tenon's contract from the environment (TENON_MODEL, TENON_DATA, TENON_OUTPUT ...), prints its measurements as lines of
JSON, and writes the model with what it has learned: as safetensors and as GGUF. On SIGTERM it saves what it has.
"""

import argparse
import json
import math
import os
import pathlib
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "workload"))
try:
    import jinja2.sandbox
    import torch
    from network import Llama
    from torch.nn import functional
except ImportError as error:
    sys.exit(f"train.py: {error}; on Debian: apt install python3-torch libopenblas0-pthread python3-jinja2")

import bpe
import files
import gguf
from files import CONFIG, WEIGHTS, Refused

# What belongs to a model besides its weights, as far as it has it.
KEPT = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja")


def parse_options():
    environment = os.environ.get
    parser = argparse.ArgumentParser(description="Teach a Llama by adapters (LoRA).")
    parser.add_argument("--model", default=environment("TENON_MODEL"), help="folder with the model to begin from")
    parser.add_argument("--data", default=environment("TENON_DATA") or HERE / "questions.jsonl",
                        help="file, or folder with *.jsonl: conversations, one a line, as {\"messages\": [...]}")
    parser.add_argument("--output", default=environment("TENON_OUTPUT"), help="folder that receives the model")
    parser.add_argument("--steps", type=int, default=20, help="0 only writes the model as it is (%(default)s)")
    parser.add_argument("--batch", type=int, default=environment("TENON_SEQUENCES") or 8,
                        help="conversations in a step (%(default)s)")
    parser.add_argument("--longest", type=int, default=environment("TENON_CONTEXT_TOKENS") or 512,
                        help="tokens of a conversation; longer ones are left out (%(default)s)")
    parser.add_argument("--rank", type=int, default=8, help="of the adapters (%(default)s)")
    parser.add_argument("--layers", type=int, default=8, help="the last so many have adapters (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=4e-3, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of adapters and order (%(default)s)")
    parser.add_argument("--save-every", type=int, default=200, help="steps (%(default)s)")
    options = parser.parse_args()
    for name in ("model", "output"):
        if not getattr(options, name):
            parser.error(f"no {name}: set TENON_{name.upper()} or give --{name}")
    for name in ("batch", "longest", "rank", "layers", "save_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return options


def say(text):
    print(text, flush=True)


def count(parts):
    return sum(part.numel() for part in parts)


def read_text(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None


def conversations(path):
    """The messages of each line of a file, or of all *.jsonl files of a folder."""
    path = pathlib.Path(path)
    for file in sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]:
        for number, line in enumerate(read_text(file).splitlines(), 1):
            try:
                messages = json.loads(line)["messages"] if line.strip() else None
                good = messages is None or (messages[-1]["role"] == "assistant"
                                            and all(type(message["content"]) is str for message in messages))
            except (LookupError, RecursionError, TypeError, ValueError):
                good = False
            if not good:
                raise Refused(f"{file}, line {number}: not a conversation that ends with the assistant's answer")
            if messages:
                yield messages


class Chat:
    """How a conversation becomes tokens: the template that comes with the model, as a server uses it too."""

    def __init__(self, folder):
        self.tokenizer = bpe.Tokenizer(folder)
        settings = files.read_json(os.path.join(folder, "tokenizer_config.json"))
        apart = pathlib.Path(folder, "chat_template.jinja")
        self.template = read_text(apart) if apart.exists() else settings.get("chat_template")
        if not isinstance(self.template, str):
            raise Refused(f"{folder} has no chat template: take a model that was made for conversations")
        self.marks = {name: self._text(settings.get(f"{name}_token")) for name in ("bos", "eos")}
        sandbox = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        sandbox.globals["raise_exception"] = self._refuse
        try:
            self._render = sandbox.from_string(self.template).render
        except jinja2.TemplateError as error:
            raise Refused(f"the chat template is not one: {error}") from None

    @staticmethod
    def _text(mark):
        return mark.get("content") if isinstance(mark, dict) else mark

    @staticmethod
    def _refuse(reason):
        raise jinja2.TemplateError(reason)

    def mark_ids(self):
        return {name: self.tokenizer.id_of(mark) for name, mark in self.marks.items()}

    def tokens(self, messages):
        """Tokens of a conversation, and how many of them stand before the last answer."""
        marks = {f"{name}_token": mark or "" for name, mark in self.marks.items()}
        try:
            asked = self._render(messages=messages[:-1], add_generation_prompt=True, **marks)
            whole = self._render(messages=messages, add_generation_prompt=False, **marks)
        except (jinja2.TemplateError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Refused(f"the chat template does not take a conversation: {error}") from None
        if not whole.startswith(asked):
            raise Refused("the chat template changes a question when its answer follows")
        before = self.tokenizer.encode(asked)
        return before + self.tokenizer.encode(whole[len(asked):]), len(before)


def read_rows(options, chat):
    """Tokens of all conversations that are not too long."""
    rows = [chat.tokens(messages) for messages in conversations(options.data)]
    short = [row for row in rows if len(row[0]) <= options.longest]
    if not short:
        raise Refused(f"there is no conversation in {options.data} that is short enough")
    if len(short) < len(rows):
        say(f"{len(rows) - len(short)} of {len(rows)} conversations are longer than {options.longest} tokens and are left out")
    return short


def batches(rows, size):
    """All rows in a new order, again and again."""
    order = []
    while True:
        while len(order) < size:
            order += torch.randperm(len(rows)).tolist()
        yield [rows[i] for i in order[:size]]
        del order[:size]


def loss_of(network, batch):
    """Only what the assistant answers counts."""
    longest = max(len(tokens) for tokens, _ in batch)
    padded = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens, _ in batch])
    chosen = torch.zeros(len(batch), longest - 1, dtype=torch.bool)
    for row, (tokens, before) in enumerate(batch):
        chosen[row, before - 1:len(tokens) - 1] = True
    return functional.cross_entropy(network.logits(padded[:, :-1], chosen), padded[:, 1:][chosen])


class Training:
    """One run: what it works on, and how far it has come."""

    def __init__(self, options):
        self.options, self.step, self.stopped = options, 0, False
        signal.signal(signal.SIGTERM, self._stop)
        self.config = files.read_config(options.model)
        self.chat = Chat(options.model)
        self.rows = read_rows(options, self.chat)
        self.network = Llama(self.config, files.tensors(options.model, self.config), options.rank, options.layers, options.seed)

    def _stop(self, number, frame):
        self.stopped = True

    def run(self):
        optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=0.0)
        for batch in batches(self.rows, self.options.batch):
            if self.step >= self.options.steps or self.stopped:
                break
            if self.step and self.step % self.options.save_every == 0:
                self.save()
            self._one_step(optimizer, batch)

    def _one_step(self, optimizer, batch):
        began, options = time.perf_counter(), self.options
        rate = options.learning_rate * min(1, (self.step + 1) / 4) * 0.5 * (1 + math.cos(math.pi * self.step / options.steps))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = loss_of(self.network, batch)
        if not math.isfinite(loss.item()):
            raise Refused(f"the loss is not a number at step {self.step + 1}; try a lower learning rate")
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimizer.step()
        self.step += 1
        say(json.dumps({
            "step": self.step, "steps": options.steps, "loss": round(loss.item(), 4), "learning_rate": round(rate, 7),
            "gradient_norm": round(norm.item(), 4), "epoch": round(self.step * options.batch / len(self.rows), 3),
            "tokens_per_second": round(sum(len(tokens) for tokens, _ in batch) / (time.perf_counter() - began), 1)}))

    def save(self):
        """Weights come last: who finds them finds what belongs to them too."""
        source, output = pathlib.Path(self.options.model), pathlib.Path(self.options.output)
        output.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (source / name).exists():
                files.replace(output / name, [(source / name).read_bytes()])
        described = {**files.read_json(source / CONFIG), "torch_dtype": "float16"}
        described.pop("dtype", None)
        files.replace(output / CONFIG, files.as_json(described))
        name = os.environ.get("TENON_MODEL_ID") or source.resolve().name
        files.replace(output / "model.gguf", gguf.pieces(self.config, self.chat.tokenizer, f"{name}, tuned", self.chat.mark_ids(),
                                                         self.chat.template, self.network.merged()))
        files.replace(output / WEIGHTS, files.safetensors(self.config, self.network.merged(), "F16"))
        say(f"saved step {self.step} to {output}")


def main():
    options = parse_options()
    try:
        training = Training(options)
        say(f"job {os.environ.get('TENON_JOB_ID') or 'by hand'}: {count(training.network.parameters()):,} parameters learn beside "
            f"{count(training.network.weights.values()):,}, {len(training.rows)} conversations from {options.data}, "
            f"threads: {torch.get_num_threads()}")
        training.run()
        if training.step or not training.stopped:
            training.save()
    except Refused as error:
        sys.exit(fail(error, 2))
    except MemoryError:
        sys.exit(fail("out of memory", 1))
    except OSError as error:
        sys.exit(fail(f"cannot write {error.filename or options.output}: {error.strerror}", 1))
    say(f"{'stopped' if training.stopped else 'done'} after step {training.step}: {time.process_time():.1f} CPU seconds")


def fail(reason, status):
    print(f"train.py: {reason}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    main()
