"""Builds twice (plain, and with sanitizers), runs every suite, and prints one table. Called by tests/run.sh."""

import argparse
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))

import environments

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLAIN = os.path.join(ROOT, "build", "plain")
CHECKED = os.path.join(ROOT, "build", "checked")
PYTHON = sys.executable
# What takes longest begins first, so that nothing is left to run alone at the end: of the second tier, then of the first.
LONG = ["torture/test_hostile.py", "torture/test_power.py", "torture/test_calls.py", "fuzz/test_fuzz.py", "hub/test_kill.py",
        "torture/test_valgrind.py", "readme/test_readme.py", "interop/test_exchange_python.py", "engines/test_lora.py", "unit",
        "hub/test_folder.py", "hub/test_download.py", "fuzz/test_seeds.py", "job/test_job.py"]
# Suites wait more than they compute: for timers, for disks, for servers that stall.
AT_ONCE = (os.cpu_count() or 1) + 1
PATIENCE = 1500  # seconds for one suite; only one that hangs ever takes so long

# Every suite that is promised, with what it is about. A suite that is missing here, or a name here without a file, is a failure.
QUICK = {
    "header/test_header.py": "the header's documentation, form and layout",
    "abi/test_abi.py": "the interface against the recorded one",
    "embedding/test_library.py": "symbols, writable data and imports of the built library",
    "unit": "every source of the library under the address and undefined-behavior sanitizers",
    "transport/test_transport.py": "HTTP/1.1 and 2, TLS, proxies against nginx and tinyproxy",
    "simulators/test_hub.py": "the hub simulator, seen from the wire",
    "interop/test_simulator_python.py": "huggingface_hub on the hub simulator",
    "interop/test_simulator_js.py": "@huggingface/hub on the hub simulator",
    "interop/test_simulator_openai.py": "the openai client on the inference simulator and the example workload",
    "interop/test_exchange_python.py": "caches exchanged with huggingface_hub",
    "interop/test_exchange_js.py": "caches exchanged with @huggingface/hub",
    "hub/test_download.py": "downloads under every fault",
    "hub/test_kill.py": "downloads killed at random moments",
    "hub/test_folder.py": "file: hubs and publishing",
    "fuzz/test_seeds.py": "every parser of foreign bytes on hostile inputs",
    "torture/test_allocations.py": "every allocation of a download, a job and a chat fails",
    "torture/test_calls.py": "calls of the system fail while a download runs and a job starts",
    "torture/test_power.py": "the power goes at any moment of a download, of publishing and of a job",
    "accelerator/test_remote.py": "models sized over HTTP, from headers alone",
    "job/test_job.py": "jobs on this machine",
    "job/test_accidents.py": "jobs through kills at random moments, full disks and nonsense",
    "inference/test_inference.py": "chat and completions",
    "workload/test_workload.py": "the example workload",
    "torture/test_hostile.py": "answers of servers, spoilt at random in every way",
    "torture/test_token.py": "where tokens and keys go, on every flow, and who is told them",
    "bindings/test_generated.py": "the bindings' description and generated files",
    "bindings/test_python.py": "the Python binding",
    "cli/test_cli.py": "the command-line tool",
    "loops/test_loops.py": "foreign event loops",
    "bench/test_bench.py": "the measures, at tiny sizes",
    "readme/test_readme.py": "what the README says, and the whole story in one command",
}
# The second tier, on top of the first: what is compiled from the sources of others, and what takes long.
FOREIGN = {
    "fuzz/test_fuzz.py": "libFuzzer on the same parsers",
    "interop/test_exchange_rust.py": "caches exchanged with the Rust crate hf-hub",
    "engines/test_lora.py": "a real model that learns on a processor, and llama-server before and after",
    "torture/test_valgrind.py": "the unit tests under valgrind",
    "torture/test_threads.py": "ten contexts on ten threads under ThreadSanitizer",
    "interop/test_exchange_llama.py": "caches exchanged with llama-server -hf, and a real model served from one",
    "engines/test_llama_server.py": "a real model on llama.cpp's llama-server, asked by tenon and the openai client",
}
SUITES = QUICK | FOREIGN


class Outcome:
    """What one suite came to."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, 0, 0
        self.reasons, self.notes, self.output, self.seconds = [], [], "", 0.0

    def read(self, output, status):
        """Take the numbers from the suite's closing line."""
        self.output = output
        lines = output.strip().splitlines()
        counts = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", lines[-1]) if lines else None
        if counts:
            self.passed, self.failed, self.skipped = map(int, counts.groups())
        self.reasons = [line.removeprefix("left out: ") for line in lines if line.startswith("left out: ")]
        self.notes = [line.removeprefix("note: ") for line in lines if line.startswith("note: ")]
        if not counts or (status != 0 and not self.failed):
            self.failed += 1
            self.output += f"\n(ended with status {status}{'' if counts else ' and no closing line'})"


def say(text=""):
    print(text, flush=True)


def build(folder, *options):
    """Configure (once) and compile; the build's own words only when it fails."""
    steps = []
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        steps.append(["meson", "setup", folder, ROOT, "--libdir", "lib", *options])
    steps.append(["ninja", "-C", folder])
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            say(done.stdout[-8000:] + done.stderr[-8000:])
            sys.exit(f"{' '.join(step)} failed with status {done.returncode}")


def compile_others():
    """What takes minutes to make of other people's sources, once. What cannot be made is told by the suites that need it."""
    for name, make in environments.COMPILED:
        started = time.monotonic()
        try:
            make()
            note = f"{time.monotonic() - started:.0f} s"
        except environments.Missing as reason:
            note = f"not there: {reason}"
        say(f"Compiling {name} (once) ... {note}")


def environment(scratch):
    """What every suite finds."""
    values = dict(os.environ, TENON_BUILD=PLAIN, TENON_BUILD_CHECKED=CHECKED, TENON_TMP=scratch, TENON_ROOT_FOLDER=ROOT,
                  OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1",
                  ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    for name in ("HF_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        values.pop(name, None)
    return values


def run_program(command, variables, errors=subprocess.STDOUT):
    """(its output, its errors where they are apart, its status); one that hangs is ended with all that it has started."""
    with subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                          errors="replace", cwd=ROOT, start_new_session=True) as process:
        try:
            output, told = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, told = process.communicate()
            output += f"\n(it was ended after {PATIENCE} s)\n"
        return output, told or "", process.returncode


def run_unit(outcome, variables):
    """Every cmocka program of the checked build, by its TAP lines."""
    programs = sorted(path for path in glob.glob(os.path.join(CHECKED, "tests", "unit", "test_*"))
                      if os.path.isfile(path) and os.access(path, os.X_OK))
    output = []
    for program in programs:
        text, errors, status = run_program([program, ROOT], dict(variables, CMOCKA_MESSAGE_OUTPUT="TAP"), subprocess.PIPE)
        lines = text.splitlines()
        skips = [line for line in lines if re.match(r"ok \d+.*# SKIP", line)]
        passed = len([line for line in lines if re.match(r"ok \d+", line)]) - len(skips)
        failed = len([line for line in lines if re.match(r"not ok \d+", line)])
        planned = next((int(line[3:]) for line in lines if re.match(r"1\.\.\d+", line)), 0)
        if planned != passed + failed + len(skips) or (status != 0 and failed == 0) or planned == 0:
            failed += 1
        outcome.passed += passed
        outcome.failed += failed
        outcome.skipped += len(skips)
        outcome.reasons += [f"{os.path.basename(program)}: {line}" for line in skips]
        if failed:
            output.append(f"--- {os.path.basename(program)}: status {status}\n{text[-6000:]}\n{errors[-6000:]}")
    outcome.output = "\n".join(output)
    if not programs:
        outcome.failed += 1
        outcome.output = "no unit test was built: is libcmocka-dev there?"


def run_suite(name, scratch):
    outcome = Outcome(name)
    started = time.monotonic()
    folder = tempfile.mkdtemp(prefix=re.sub(r"\W", "-", name) + "-", dir=scratch)
    variables = environment(folder)
    if name == "unit":
        run_unit(outcome, variables)
    else:
        output, _, status = run_program([PYTHON, os.path.join(ROOT, "tests", name)], variables)
        outcome.read(output, status)
    outcome.seconds = time.monotonic() - started
    return outcome


def check_promises():
    """Names of suites that are promised without a file, or are there without a promise."""
    there = {os.path.relpath(path, os.path.join(ROOT, "tests")) for path in glob.glob(os.path.join(ROOT, "tests", "*", "test_*.py"))}
    promised = {name for name in SUITES if name.endswith(".py")}
    return sorted(promised - there), sorted(there - promised)


def run_all(names, scratch):
    outcomes, lock = [], threading.Lock()

    def run_and_tell(name):
        outcome = run_suite(name, scratch)
        with lock:
            outcomes.append(outcome)
            say(f"{'FAILED' if outcome.failed else 'ok':6} {name:36} {outcome.passed:5} passed {outcome.failed:3} failed "
                f"{outcome.skipped:3} left out {outcome.seconds:7.1f} s")
            if outcome.failed:
                say(outcome.output[-12000:])

    order = sorted(names, key=lambda name: LONG.index(name) if name in LONG else len(LONG))
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for future in [pool.submit(run_and_tell, name) for name in order]:
            future.result()
    return sorted(outcomes, key=lambda outcome: list(SUITES).index(outcome.name))


def table(outcomes):
    say()
    say(f"{'suite':36} {'passed':>7} {'failed':>7} {'left out':>9}  about")
    for outcome in outcomes:
        say(f"{outcome.name:36} {outcome.passed:7} {outcome.failed:7} {outcome.skipped:9}  {SUITES[outcome.name]}")
        for reason in outcome.reasons:
            say(f"{'':36} left out: {reason}")
        for note in outcome.notes:
            say(f"{'':36} {note}")


def main():
    parser = argparse.ArgumentParser(description="Run tenon's tests.")
    parser.add_argument("--ci", action="store_true", help="a suite that was left out is a failure")
    parser.add_argument("names", nargs="*", help="suites whose names begin so; all of them when none is given")
    parser.add_argument("--foreign", action="store_true", help="the second tier too: real models and engines, and every test at full length")
    options = parser.parse_args()
    if options.foreign:
        os.environ["TENON_THOROUGH"] = "1"
    # A shell's background command has Ctrl-C ignored, and so would have every program that is tested for it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    missing, unknown = check_promises()
    say("Building (plain, then with sanitizers) ...")
    build(PLAIN, "-Dwerror=true")
    build(CHECKED, "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbuildtype=debug")
    if options.foreign:
        compile_others()
    tier = SUITES if options.foreign else QUICK
    names = [name for name in tier if name not in missing and (not options.names or name.startswith(tuple(options.names)))]
    say(f"Running {len(names)} suites ...")
    with tempfile.TemporaryDirectory(prefix="tenon-tests-") as scratch:
        outcomes = run_all(names, scratch)
    table(outcomes)
    failed, skipped = sum(o.failed for o in outcomes), sum(o.skipped for o in outcomes)
    for name in missing + unknown:
        say(f"{name}: {'promised, but not there' if name in missing else 'there, but not promised in tests/run.py'}")
        failed += 1
    if options.ci and skipped:
        say("On CI nothing may be left out.")
        failed += skipped
    say(f"{sum(o.passed for o in outcomes)} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
