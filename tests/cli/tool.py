"""Runs the command-line tool: with pipes, or in a terminal whose screen can be looked at."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios

BUILD = os.environ.get("TENON_BUILD", "build")
TOOL = os.path.abspath(os.path.join(BUILD, "examples", "tenon"))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ESCAPE = "\x1b"
PATIENCE = 120  # seconds; only a test that hangs ever waits so long


class Place:
    """A home folder of its own, and the environment that goes with it."""

    def __init__(self, **environment):
        self.folder = tempfile.mkdtemp(prefix="tenon-cli-", dir=os.environ.get("TENON_TMP"))
        self.environment = {"HOME": self.folder, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm", **environment}

    def remove(self):
        def may_be_gone(function, path, error):
            """The supervisor of a job that ends just now tidies up in here as well."""
            if not issubclass(error[0], FileNotFoundError):
                raise error[1]

        shutil.rmtree(self.folder, onerror=may_be_gone)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def variables(self, changes):
        """The environment with these changes; None leaves a variable out."""
        merged = {**self.environment, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    def run(self, *words, stdin="", **changes):
        """Run the tool to its end with pipes; the result has stdout, stderr and returncode."""
        return subprocess.run([TOOL, *words], input=stdin, capture_output=True, text=True, env=self.variables(changes),
                              cwd=self.folder, timeout=PATIENCE, check=False)

    def start(self, *words, **changes):
        """Start the tool with pipes."""
        return subprocess.Popen([TOOL, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.variables(changes), cwd=self.folder)

    def terminal(self, *words, **options):
        return Terminal(self, words, **options)


class Terminal:
    """The tool with standard error in a terminal, and standard output too unless it is piped."""

    def __init__(self, place, words, piped=False, columns=100, rows=30, **changes):
        self.screen = Screen(columns)
        self.raw = ""
        self._pipe = b""
        self._descriptor, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        def lead():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen([TOOL, *words], stdin=inner, stdout=subprocess.PIPE if piped else inner, stderr=inner,
                                         env=place.variables(changes), cwd=place.folder, preexec_fn=lead)
        os.close(inner)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._descriptor)
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self):
        """Read what there is; False at the end."""
        try:
            text = os.read(self._descriptor, 65536).decode()
        except OSError:  # the other side is closed
            text = ""
        self.raw += text
        self.screen.write(text)
        return text != ""

    def _wait(self):
        ready, _, _ = select.select([self._descriptor], [], [], PATIENCE)
        return bool(ready)

    def wait_for(self, pattern):
        """Read until the screen shows it."""
        while not re.search(pattern, self.screen.text()):
            if not self._wait() or not self._read():
                raise AssertionError(f"{pattern!r} never came up; the screen shows\n{self.screen.text()}")

    def type(self, text):
        os.write(self._descriptor, text.encode())

    def interrupt(self):
        self.type("\x03")

    def end(self):
        """Read to the end; (exit status, what was piped)."""
        while self._wait() and self._read():
            pass
        piped = self._process.stdout.read().decode() if self._process.stdout else ""
        return self._process.wait(PATIENCE), piped


class Screen:
    """What a terminal shows, as far as the tool uses one: lines, carriage return, cursor up, erasing, styles."""

    SEQUENCE = re.compile(r"\x1b\[(\??)(\d*)([A-Za-z])")

    def __init__(self, columns):
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip()

    def write(self, text):
        while text:
            found = self.SEQUENCE.match(text)
            if found:
                self._command(*found.groups())
                text = text[found.end():]
            else:
                self._character(text[0])
                text = text[1:]

    def _command(self, private, number, letter):
        if private or letter == "m":
            return
        if letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter in "JK":
            self.lines[self.row] = self.lines[self.row][:self.column]
            if letter == "J":
                del self.lines[self.row + 1:]
        else:
            raise AssertionError(f"the tool sent ESC [ {number} {letter}")

    def _character(self, character):
        if character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif character == "\r":
            self.column = 0
        elif ord(character) < 32:
            raise AssertionError(f"the tool sent the control character {ord(character)}")
        elif self.column < self.columns:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + character + line[self.column + 1:]
            self.column += 1


def interrupt(process):
    process.send_signal(signal.SIGINT)
