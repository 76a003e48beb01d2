"""
Measures tenon beside other software, in ratios: who is compared does the same work in the same minute, by turns, in several
rounds, and what counts is the median of the rounds' ratios. Seconds of a processor are what can be trusted where the machine has
other work too, but for those of hf: its workers get in each other's way where processors are free, and take about twice as many
seconds there as on a machine that leaves them one. So the ratios to it are those of a quiet machine.

    /usr/bin/python3 tests/bench/run.py                     every row, in some ten minutes; a table at the end
    /usr/bin/python3 tests/bench/run.py "one file" size     some rows
    --rounds N                                              how often each is measured: 5 times when not given
    --small                                                 tiny sizes and one round: does every row still work?
    --folder FOLDER                                         where files go; the disk is measured too. build/bench when not given
    --json FILE                                             where the results go. build/bench.json when not given

`sh tests/bench/run.sh` installs what it takes first. The server is nginx, over TLS (webhub.py); nobody is measured against a hub in
Python. A goal that is missed is said and is no failure: only work that was not done is.
"""

import argparse
import datetime
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TENON_BUILD") or os.path.join(ROOT, "build", "release")
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support")]

import environments  # noqa: E402
import profile_of  # noqa: E402
import webhub  # noqa: E402

MIB = 1 << 20
FULL = {"bytes": 1 << 30, "files": 2000, "jobs": 1000, "seconds": 10, "rounds": 5, "requests": 40}
SMALL = {"bytes": 40 * MIB, "files": 30, "jobs": 5, "seconds": 1, "rounds": 1, "requests": 2}
TENON = "tenon"


class Peer:
    """Somebody who does a row's work. `command` makes his command line from a folder of his own, which is made in `folder` (None:
    the bench's); `did` tells whether the work was done. What varies tenon itself, to find out what limits it, is no rival."""

    def __init__(self, name, command, did, rival=True, folder=None, **variables):
        self.name, self.command, self.did, self.rival, self.folder, self.variables = name, command, did, rival, folder, variables


class Bench:
    """What all rows stand on: the sizes, a folder, the hub, and the environment of whoever is measured."""

    def __init__(self, folder, sizes):
        self.folder, self.sizes, self.turn = folder, sizes, 0
        self.site = webhub.Site(os.path.join(folder, "hub"), sizes["bytes"], sizes["files"])
        self.tenon = os.path.join(BUILD, "examples", "tenon")
        try:
            self.python = environments.huggingface_hub(2)
        except environments.Missing as reason:
            self.python = None
            say(f"huggingface_hub is not there: {reason}")

    def environment(self, home, variables):
        values = {name: value for name, value in os.environ.items()
                  if not name.startswith(("HF_", "TENON_")) and "proxy" not in name.lower()}
        values.update(HOME=home, HF_HOME=os.path.join(home, "hf"), HF_ENDPOINT=self.site.url, SSL_CERT_FILE=self.site.certificate,
                      HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_UPDATE_CHECK="1",
                      HF_HUB_DISABLE_PROGRESS_BARS="1", TENON_JOBS=os.path.join(home, "jobs"), PYTHONDONTWRITEBYTECODE="")
        return {**values, **variables}

    def next_folder(self, peer):
        """A new folder for a peer."""
        self.turn += 1
        home = os.path.join(peer.folder or self.folder, f"turn-{self.turn}")
        os.makedirs(home)
        return home

    def measure(self, peer, home=None, keep=False):
        """One piece of work, in a folder of its own where none is given: what it took."""
        home = home or self.next_folder(peer)
        took = os.path.join(self.folder, "took.json")
        command = [os.path.join(BUILD, "tests", "bench", "measure"), took, *peer.command(home)]
        with open(os.path.join(self.folder, "output.log"), "w+b") as log:
            subprocess.run(command, env=self.environment(home, peer.variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           check=True)
            log.seek(0)
            output = log.read().decode(errors="replace")
        with open(took, encoding="utf-8") as file:
            taken = json.load(file)
        if taken.pop("status") != 0 or not peer.did(home, output):
            raise RuntimeError(f"{peer.name} did not do its work: {' '.join(command[2:])}\n{output[-3000:]}")
        taken["cpu"] = taken["user"] + taken["system"]
        if not keep:
            shutil.rmtree(home)
        return taken

    def compare(self, peers, rounds, keep=False, quiet=False):
        """Every peer once a round, the order turned each time: {name: [what it took, ...]}."""
        runs = {peer.name: [] for peer in peers}
        for number in range(rounds):
            turned = peers[number % len(peers):] + peers[:number % len(peers)]
            for peer in turned:
                runs[peer.name].append(self.measure(peer, keep=keep))
            if not quiet:
                say(f"    round {number + 1} of {rounds}: " +
                    ", ".join(f"{peer.name} {runs[peer.name][-1]['wall']:.2f} s" for peer in peers))
        return runs


def say(text=""):
    print(text, flush=True)


# ---- what is made of the runs ----

def median(runs, what):
    return statistics.median(run[what] for run in runs)


def ratio(runs, name, other, what):
    """The median over the rounds of what one took, as a part of what another took in the same round."""
    return statistics.median(a[what] / max(b[what], 1e-6) for a, b in zip(runs[name], runs[other]))


def goal(text, value, most, unit="", least=False):
    """A goal: `value` is at most (or at least) `most`."""
    met = value >= most if least else value <= most
    return {"goal": text, "value": value, "bound": most, "least": least, "unit": unit, "met": met}


def row(work, runs, goals, limits):
    return {"work": work, "runs": runs, "goals": goals, "limits": limits}


def shared(profile):
    """A profile in words: where tenon's own time went."""
    parts = sorted(profile.items(), key=lambda item: -item[1])
    words = ", ".join(f"{name} {part:.0%}" for name, part in parts if part >= 0.015)
    return words or "no profile: perf is not there, or may not look"


# ---- whether work was done ----

def has_large(bench):
    """The one large file lies somewhere below the folder, whole."""
    def did(home, _):
        return any(os.path.getsize(path) == bench.sizes["bytes"] for path in glob.glob(f"{home}/**/*", recursive=True)
                   if os.path.isfile(path) and not os.path.islink(path))
    return did


def has_many(bench):
    def did(home, _):
        found = [path for path in glob.glob(f"{home}/hf/hub/models--*/snapshots/**/*.json", recursive=True)]
        return len(found) == bench.sizes["files"] and sum(os.path.getsize(path) for path in found) == bench.site.bytes
    return did


def anything(_home, _output):
    return True


# ---- the rows ----

def load(bench):
    """Load, open a context, first request."""
    programs = os.path.join(BUILD, "tests", "bench")
    url = f"{bench.site.url}/api/models/bench/large/revision/main"
    script = "from huggingface_hub import HfApi; HfApi().model_info('bench/large')"
    peers = [Peer(TENON, lambda home: [f"{programs}/load", "bench/large"], anything),
             Peer("libcurl alone", lambda home: [f"{programs}/alone", url], anything)]
    runs = bench.compare(peers, bench.sizes["requests"], quiet=True)
    goals = []
    extra = {what: median(runs[TENON], what) - median(runs["libcurl alone"], what) for what in ("wall", "cpu", "peak")}
    goals.append(goal("wall above libcurl alone", 1000 * extra["wall"], 1, "ms"))
    goals.append(goal("memory above libcurl alone", extra["peak"] / MIB, 1, "MiB"))
    if bench.python:
        official = Peer("huggingface_hub", lambda home: [f"{bench.python}/bin/python", "-c", script], anything)
        both = bench.compare([peers[0], official], bench.sizes["rounds"])
        runs["huggingface_hub"] = both["huggingface_hub"]
        for what in ("wall", "cpu"):
            goals.append(goal(f"{what} of huggingface_hub's", ratio(both, TENON, "huggingface_hub", what), 1 / 50))
    profile = profile_of.run(bench, peers[0], repeat=10)
    return row("load, open a context, first request over TLS", runs, goals, shared(profile))


def one_file(bench):
    """One large file over TLS to disk."""
    url = f"{bench.site.url}/bench/large/resolve/main/model.bin"
    did, memory = has_large(bench), f"/dev/shm/tenon-bench-{os.getpid()}"
    download = lambda home: [bench.tenon, "download", "bench/large", "-q"]
    curl = ["curl", "-sSfL", "--cacert", bench.site.certificate, url, "-o"]
    peers = [Peer(TENON, download, did), Peer("curl", lambda home: [*curl, f"{home}/x"], did)]
    if shutil.which("aria2c"):
        aria2c = ["aria2c", "-q", "-x8", "-s8", "-k1M", "--file-allocation=none", "--no-conf",
                  f"--ca-certificate={bench.site.certificate}", url, "-o", "x", "-d"]
        peers.append(Peer("aria2c -x8", lambda home: [*aria2c, home], did))
    if bench.python:
        peers.append(Peer("hf", lambda home: [f"{bench.python}/bin/hf", "download", "bench/large", "model.bin"], did))
    both = ["sh", "-c", '"$@" && sync -d "$0"']
    peers += [Peer("curl, then durable", lambda home: [*both, f"{home}/x", *curl, f"{home}/x"], did, False),
              Peer("tenon without TLS", download, did, False, HF_ENDPOINT=bench.site.plain)]
    if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 3 * bench.sizes["bytes"]:
        peers.append(Peer("tenon to memory", download, did, False, memory))
    try:
        runs = bench.compare(peers, bench.sizes["rounds"])
    finally:
        shutil.rmtree(memory, ignore_errors=True)
    rivals = [peer.name for peer in peers if peer.rival and peer.name != TENON]
    fastest = min(rivals, key=lambda name: median(runs[name], "wall"))
    goals = [goal(f"wall of the fastest's ({fastest}), which neither verifies nor syncs", ratio(runs, TENON, fastest, "wall"), 1),
             goal("peak memory", median(runs[TENON], "peak") / MIB, 16, "MiB")]
    if "hf" in runs:
        goals.append(goal("processor of hf's", ratio(runs, TENON, "hf", "cpu"), 0.4))
    limits = f"SHA-256 alone takes {hash_seconds(bench.sizes['bytes']):.2f} s; " + shared(profile_of.run(bench, peers[0]))
    work = f"{bench.sizes['bytes'] // MIB} MiB over TLS to disk; tenon verifies and makes durable, nobody else does"
    return row(work, runs, goals, limits)


def many_files(bench):
    """A snapshot of small files."""
    did = has_many(bench)
    peers = [Peer(TENON, lambda home: [bench.tenon, "download", "bench/many", "-q"], did)]
    if bench.python:
        hf = f"{bench.python}/bin/hf"
        peers += [Peer("hf, 8 workers", lambda home: [hf, "download", "bench/many", "--max-workers", "8"], did),
                  Peer("hf, 32 workers", lambda home: [hf, "download", "bench/many", "--max-workers", "32"], did)]
    peers.append(Peer("tenon without TLS", peers[0].command, did, False, HF_ENDPOINT=bench.site.plain))
    # ext4 is slow to make files for some seconds after many were removed: all stay until the end.
    runs = bench.compare(peers, bench.sizes["rounds"], keep=True)
    goals = []
    for name in [peer.name for peer in peers if peer.rival and peer.name != TENON]:
        goals.append(goal(f"times as fast as {name}", 1 / ratio(runs, TENON, name, "wall"), 8, least=True))
        goals.append(goal(f"processor of {name}", ratio(runs, TENON, name, "cpu"), 0.05))
    return row(f"a snapshot of {bench.sizes['files']} small files over TLS, each verified and made durable", runs, goals,
               shared(profile_of.run(bench, peers[0])))


def many_jobs(bench):
    """Jobs watched by one thread."""
    output = []
    count, seconds = bench.sizes["jobs"], bench.sizes["seconds"]

    def did(_, text):
        output.append(json.loads(text.strip().splitlines()[-1]))
        return output[-1]["watched"] == output[-1]["jobs"]
    program = os.path.join(BUILD, "tests", "bench", "jobs")
    taken = bench.measure(Peer(TENON, lambda home: [program, str(count), str(seconds)], did), keep=True)
    goals = [goal("memory of one that is watched", output[0]["held"], 1024, "bytes"),
             goal("part of a processor", output[0]["part"], 0.02)]
    return row(f"{count} local jobs watched by one thread for {seconds} s", {TENON: [{**taken, **output[0]}]}, goals,
               f"each is looked at now and then: {output[0]['turns']:.0f} turns of the loop a second")


def size(bench):
    """The stripped library."""
    stripped = os.path.join(bench.folder, "stripped.so")
    subprocess.run(["strip", "-o", stripped, os.path.join(BUILD, "lib", "libtenon.so")], check=True)
    total = os.path.getsize(stripped)
    sections = subprocess.run(["size", stripped], capture_output=True, text=True, check=True).stdout.split()[6:9]
    return row("the stripped library", {TENON: [{"bytes": total}]}, [goal("size", total / 1e6, 1, "MB")],
               f"text {int(sections[0]) / 1000:.0f} kB, data {int(sections[1]) / 1000:.0f} kB")


def start(bench):
    """The tool says its version."""
    peers = [Peer(TENON, lambda home: [bench.tenon, "--version"], anything)]
    if bench.python:
        peers.append(Peer("hf", lambda home: [f"{bench.python}/bin/hf", "--version"], anything))
    runs = bench.compare(peers, bench.sizes["rounds"], quiet=True)
    goals = [goal("processor of hf's", ratio(runs, TENON, "hf", "cpu"), 1 / 50)] if bench.python else []
    return row("the command-line tool says its version", runs, goals, "loading of shared libraries")


def verify(bench):
    """The cached large file is hashed again."""
    home = bench.next_folder(Peer(TENON, None, anything))
    bench.measure(Peer(TENON, lambda _: [bench.tenon, "download", "bench/large", "-q"], has_large(bench)), home, keep=True)
    peers = [Peer(TENON, lambda _: [bench.tenon, "cache", "verify"], anything)]
    if bench.python:
        peers.append(Peer("hf", lambda _: [f"{bench.python}/bin/hf", "cache", "verify", "bench/large"], anything))
    runs = {peer.name: [] for peer in peers}
    for _ in range(bench.sizes["rounds"]):
        for peer in peers:
            runs[peer.name].append(bench.measure(peer, home, keep=True))
    shutil.rmtree(home)
    goals = [goal("processor of hf's", ratio(runs, TENON, "hf", "cpu"), 1)] if bench.python else []
    return row(f"{bench.sizes['bytes'] // MIB} MiB of the cache verified", runs, goals,
               f"SHA-256 alone takes {hash_seconds(bench.sizes['bytes']):.2f} s")


ROWS = {"load": load, "one file": one_file, "many files": many_files, "many jobs": many_jobs, "size": size, "start": start,
        "verify": verify}


def hash_seconds(count):
    """How long OpenSSL takes for the SHA-256 of that many bytes."""
    piece, begun = bytes(16 * MIB), time.process_time()
    hashlib.sha256(piece).digest()
    return (time.process_time() - begun) * count / len(piece)


# ---- all of it ----

def build():
    if os.environ.get("TENON_BUILD"):  # its owner sees to that
        return
    for step in ([["meson", "setup", BUILD, ROOT, "-Dbuildtype=release"]] if not os.path.exists(f"{BUILD}/build.ninja") else []) + \
            [["ninja", "-C", BUILD]]:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(step)} failed\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def machine():
    """This machine in words."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), {memory:.0f} GB, Linux {platform.release().split('-')[0]}"


def shown(one):
    """A goal as it is printed."""
    value = f"{one['value']:.4f}" if abs(one["value"]) < 0.1 else f"{one['value']:.2f}"
    return f"{value} {one['unit']}".strip(), f"{'>=' if one['least'] else '<='} {one['bound']:g} {one['unit']}".strip()


def table(results):
    for name, result in results["rows"].items():
        say(f"\n{name}: {result['work']}")
        for peer, runs in result["runs"].items():
            if "cpu" in runs[0]:
                say(f"    {peer:24} wall {median(runs, 'wall'):8.3f} s   user {median(runs, 'user'):7.3f} s   system "
                    f"{median(runs, 'system'):7.3f} s   memory {median(runs, 'peak') / MIB:6.1f} MiB")
        say(f"    limited by: {result['limits']}")
    say(f"\n{'row':12} {'measured':52} {'is':>14} {'goal':>12}")
    for name, result in results["rows"].items():
        for one in result["goals"]:
            value, bound = shown(one)
            say(f"{name:12} {one['goal'][:52]:52} {value:>14} {bound:>12}  {'met' if one['met'] else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description="Measure tenon beside other software.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them when none is given")
    parser.add_argument("--small", action="store_true", help="tiny sizes and one round")
    parser.add_argument("--rounds", type=int, default=FULL["rounds"], help="how often each is measured")
    parser.add_argument("--folder", default=os.path.join(ROOT, "build", "bench"), help="where files go")
    parser.add_argument("--json", default=os.path.join(ROOT, "build", "bench.json"), help="where the results go")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}")
    build()
    shutil.rmtree(options.folder, ignore_errors=True)
    os.makedirs(os.path.join(options.folder, "hub"))
    bench = Bench(options.folder, SMALL if options.small else {**FULL, "rounds": options.rounds})
    results = {"date": datetime.date.today().isoformat(), "machine": machine(), "load": os.getloadavg()[0],
               "rounds": bench.sizes["rounds"], "small": options.small, "rows": {}}
    try:
        for name in options.rows or ROWS:
            say(f"{name}: {ROWS[name].__doc__}")
            results["rows"][name] = ROWS[name](bench)
    finally:
        bench.site.stop()
        shutil.rmtree(options.folder, ignore_errors=True)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    say(f"\n{results['date']}, {results['machine']}, load {results['load']:.1f} at the beginning")
    table(results)
    say(f"\nResults: {options.json}")


if __name__ == "__main__":
    main()
