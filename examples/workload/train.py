"""Trains a byte model of the Llama architecture on a text: a program that runs as a tenon job, or by hand.

It reads tenon's contract from the environment (TENON_MODEL, TENON_DATA, TENON_OUTPUT ...), prints its measurements as
lines of JSON, keeps the newest state in the output folder, and on SIGTERM saves what it has.
"""

import argparse
import json
import math
import os
import pathlib
import re
import signal
import sys
import time

import model
import numpy as np

import folder
import tokens
from card import card
from folder import Refused

OWN_TEXT = pathlib.Path(__file__).with_name("text.txt")


def parse_options():
    environment = os.environ.get
    parser = argparse.ArgumentParser(description="Train a small Llama on the bytes of a text.")
    parser.add_argument("--model", default=environment("TENON_MODEL"), help="folder with the model to begin from")
    parser.add_argument("--data", default=environment("TENON_DATA") or OWN_TEXT, help="text file, or folder with *.txt")
    parser.add_argument("--output", default=environment("TENON_OUTPUT"), help="folder that receives the model")
    parser.add_argument("--fresh", action="store_true", default=environment("FRESH", "0") not in ("", "0"),
                        help="begin with random weights (also FRESH=1)")
    parser.add_argument("--seed", type=int, default=1, help="of random weights and of the order of the text (%(default)s)")
    parser.add_argument("--steps", type=int, default=500, help="(%(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="windows in a step (%(default)s)")
    parser.add_argument("--window", type=int, default=112, help="tokens in a window (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=7e-3, help="(%(default)s)")
    parser.add_argument("--warm-up", type=int, default=60, help="steps until the learning rate is reached (%(default)s)")
    parser.add_argument("--report-every", type=int, default=10, help="steps (%(default)s)")
    parser.add_argument("--save-every", type=int, default=100, help="steps (%(default)s)")
    options = parser.parse_args()
    if not options.output:
        parser.error("no output folder: set TENON_OUTPUT or give --output")
    for name in ("batch", "window", "report_every", "save_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return options


def say(text):
    print(text, flush=True)


def read_text(path):
    """Bytes of a file, or of all *.txt files of a folder."""
    path = pathlib.Path(path)
    try:
        files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
        return b"\n\n".join(file.read_bytes() for file in files)
    except OSError as error:
        raise Refused(f"cannot read {error.filename}: {error.strerror}") from None


def paragraphs(data):
    """Tokens of each paragraph."""
    return [tokens.encode_marked(part.strip(b"\n") + b"\n\n") for part in data.split(b"\n\n") if part.strip()]


def cut(parts, most):
    """The same in pieces of at most so many tokens."""
    return [part[start:start + most] for part in parts for start in range(0, len(part), most)]


def epoch(pieces, size, random):
    """Windows of size + 1 tokens over all pieces, joined in a new order. Each begins where a piece begins, so that the model
    learns to answer a question that nothing comes before; they overlap as much as that takes."""
    order = random.permutation(len(pieces))
    starts = np.cumsum([0] + [len(pieces[i]) for i in order])
    text = np.concatenate([pieces[i] for i in order])
    text = np.concatenate((text, text[:size + 1]))
    places = [0]
    while places[-1] + size < starts[-1]:
        places.append(starts[np.searchsorted(starts, places[-1] + size, "right") - 1])
    return [text[place:place + size + 1] for place in random.permutation(places)]


def windows(pieces, size, random):
    while True:
        yield from epoch(pieces, size, random)


class AdamW:
    def __init__(self, weights):
        self.weights = weights
        self.mean, self.square = np.zeros_like(weights.flat), np.zeros_like(weights.flat)
        self.step = 0
        # Norms are not drawn to zero, matrices are.
        decay = [np.full(part.size, 0.01 if part.ndim > 1 else 0, np.float32) for part in weights.by_name.values()]
        self.decay = np.concatenate(decay)

    def update(self, gradient, rate):
        self.step += 1
        self.mean += 0.1 * (gradient - self.mean)
        self.square += 0.05 * (gradient * gradient - self.square)
        mean, square = self.mean / (1 - 0.9 ** self.step), self.square / (1 - 0.95 ** self.step)
        self.weights.flat -= rate * (mean / (np.sqrt(square) + 1e-8) + self.decay * self.weights.flat)


def clip(gradient):
    """Shortens a gradient to a norm of one at most; returns the norm that it had."""
    length = float(np.sqrt(gradient @ gradient))
    if length > 1:
        gradient /= length
    return length


def rate_at(step, options):
    """Learning rate of a step, counted from 1: a straight line up, then a cosine down to zero."""
    warm = min(1, step / max(1, options.warm_up))
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * (step - 1) / options.steps))


class Reporter:
    """Prints a line of JSON with what was measured since the line before."""

    def __init__(self, options, per_epoch):
        self.options, self.per_epoch = options, per_epoch
        self.first = self.last = None
        self._losses, self._tokens, self._since = [], 0, time.perf_counter()

    def add(self, step, loss, gradient_norm, count):
        self._losses.append(loss)
        self._tokens += count
        if step in (1, self.options.steps) or step % self.options.report_every == 0:
            self._print(step, gradient_norm, count)

    def _print(self, step, gradient_norm, count):
        self.last = sum(self._losses) / len(self._losses)
        self.first = self.last if self.first is None else self.first
        now = time.perf_counter()
        say(json.dumps({
            "step": step, "steps": self.options.steps, "loss": round(self.last, 4),
            "learning_rate": round(rate_at(step, self.options), 7), "gradient_norm": round(gradient_norm, 4),
            "tokens_per_second": round(self._tokens / (now - self._since)), "epoch": round(step * count / self.per_epoch, 3)}))
        self._losses, self._tokens, self._since = [], 0, now


class Training:
    """One run: what it works on, and how far it has come."""

    def __init__(self, options):
        self.options, self.step, self.stopped = options, 0, False
        self.config, self.weights, self.origin = begin(options)
        parts = paragraphs(read_text(options.data))
        self.tokens = sum(map(len, parts))
        if self.tokens < 2:
            raise Refused(f"there is no text in {options.data}")
        options.window = min(options.window, self.tokens - 1)
        self.pieces = cut(parts, options.window)
        self.reporter = Reporter(options, self.tokens)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number, frame):
        self.stopped = True

    def run(self):
        optimizer = AdamW(self.weights)
        source = windows(self.pieces, self.options.window, np.random.default_rng(self.options.seed))
        while self.step < self.options.steps and not self.stopped:
            self._one_step(optimizer, np.stack([next(source) for _ in range(self.options.batch)]))
            if self.step % self.options.save_every == 0 and self.step < self.options.steps:
                self.save()

    def _one_step(self, optimizer, batch):
        loss, gradients = model.loss_and_gradients(self.config, self.weights, batch[:, :-1], batch[:, 1:])
        if not math.isfinite(loss):
            raise Refused(f"the loss is not a number at step {self.step + 1}; try a lower learning rate")
        length = clip(gradients.flat)
        self.step += 1
        optimizer.update(gradients.flat, rate_at(self.step, self.options))
        self.reporter.add(self.step, loss, length, batch[:, 1:].size)

    def save(self):
        text = card(self.config, self.weights.flat.size, self._facts())
        folder.write(self.options.output, self.config, self.weights, text)
        say(f"saved step {self.step} to {self.options.output}")

    def _facts(self):
        options, own = self.options, pathlib.Path(self.options.data) == OWN_TEXT
        return {
            "license": "apache-2.0" if own else None,
            "base": self.origin if re.fullmatch(r"[\w.-]+/[\w.-]+", self.origin) else None,
            "origin": self.origin, "data": pathlib.Path(options.data).name, "tokens": self.tokens, "step": self.step,
            "steps": options.steps, "batch": options.batch, "window": options.window, "rate": options.learning_rate,
            "seed": options.seed, "first": self.reporter.first, "last": self.reporter.last}


def begin(options):
    """The model to train, and what it is made from, in words."""
    if not options.model and not options.fresh:
        raise Refused("no model to begin from: set TENON_MODEL or give --model, or begin anew with --fresh")
    config = folder.read_config(options.model) if options.model else model.Config()
    if options.fresh or not os.path.exists(os.path.join(options.model, folder.WEIGHTS)):
        return config, model.random_weights(config, options.seed), "random weights"
    name = os.environ.get("TENON_MODEL_ID") or pathlib.Path(options.model).resolve().name
    return config, folder.read_weights(options.model, config), name


def main():
    options = parse_options()
    try:
        training = Training(options)
        say(f"job {os.environ.get('TENON_JOB_ID') or 'by hand'}: {training.weights.flat.size:,} parameters from "
            f"{training.origin}, {training.tokens:,} tokens from {options.data}")
        training.run()
        training.save()
    except Refused as error:
        sys.exit(fail(error, 2))
    except MemoryError:
        sys.exit(fail("out of memory", 1))
    except OSError as error:
        sys.exit(fail(f"cannot write {error.filename}: {error.strerror}", 1))
    end = "stopped" if training.stopped else "done"
    say(f"{end} after step {training.step}: {time.process_time():.1f} CPU seconds")


def fail(reason, status):
    print(f"train.py: {reason}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    main()
