"""The built library in somebody else's process: what it exports and imports, what it leaves alone, what it gives back, how it
stands fork, threads, plug-in hosts and callers of other versions, and how it is installed and found."""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from built import (BUILD, DESCRIPTION, HERE, HUB, LIBRARY, ROOT, SUPERVISOR, Installed, calls, calls_with_null, newer_header, older_header,
                   output_of, read_text, with_options, with_status, write_text)

import repositories
import suite
from simulator import Simulator

MIB = 1 << 20

# What the C library's start-up code puts into every shared object; tenon itself has nothing that is written.
WRITABLE = {
    "__dso_handle": "start-up code: names this object to atexit, never written",
    "__TMC_END__": "start-up code: an end mark without a byte",
    "completed.0": "start-up code: whether destructors ran",
}

# What a host does not expect of a library that it links.
FORBIDDEN = {
    "starts threads": "thrd_create clone clone3",
    "prints": "printf vprintf dprintf vdprintf puts putchar putc fputc fputs fprintf vfprintf fwrite perror psignal stdout stderr stdin "
              "__printf_chk __fprintf_chk __vfprintf_chk __dprintf_chk syslog error err warn",
    "ends the process": "exit _exit _Exit quick_exit abort __assert_fail __chk_fail longjmp",
    "changes signals": "signal sigaction sigprocmask siginterrupt raise",
    "changes the process": "setlocale uselocale system fork vfork execve execvp popen chdir fchdir umask setenv putenv unsetenv "
                           "clearenv environ __environ srand srandom setrlimit atexit on_exit setuid setgid tzset",
    "keeps state of its own between calls": "strtok strerror localtime gmtime asctime ctime rand random readdir_r getpwuid "
                                            "gethostbyname",
    "cannot be bounded": "gets sprintf vsprintf strcat",
}

# Where a look at the environment, at processes and at masks is the point; each is tested below or in the suites of jobs.
NAMED = {
    "getenv": "while a context is opened, unless told not to",
    "dlopen": "the driver's own library of a GPU, while this machine is probed",
    "posix_spawn": "the supervisor of a local job",
    "waitpid": "that supervisor's own id, never any child",
    "kill": "processes of a job that is stopped",
    "pthread_create": "workers, for a context whose owner asks for some",
    "pthread_sigmask": "keeps SIGPIPE from this thread during a step, and gives the mask back",
    "syscall": "kernel calls that the C library does not wrap",
}


def setUpModule():
    """One installation, and one hub, for all."""
    global installed, hub
    scratch = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
    unittest.addModuleCleanup(scratch.cleanup)
    installed = Installed(os.path.join(scratch.name, "installed"))
    hub = Simulator("hub")
    unittest.addModuleCleanup(hub.stop)
    hub.put_repository(repositories.small_model("acme/small"))
    hub.put_repository(repositories.large_file(4 * MIB))


class Case(unittest.TestCase):
    def setUp(self):
        hub.clear()
        hub.settings()

    def folder(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TENON_TMP"))
        self.addCleanup(folder.cleanup)
        return folder.name

    def compile(self, name, *options, **more):
        return installed.compile(os.path.join(HERE, name + ".c"), os.path.join(self.folder(), name), *options, **more)

    @staticmethod
    def tell(text):
        print(f"[{text.strip()}]", end=" ", flush=True)


# ---- the file itself ----

class Symbols(Case):
    """What the library exports, imports and keeps."""

    @staticmethod
    def imports():
        lines = output_of("nm", "-D", "--undefined-only", LIBRARY).splitlines()
        return {line.split()[-1].split("@")[0] for line in lines}

    def test_it_exports_the_functions_of_the_header_and_nothing_else(self):
        lines = output_of("nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY).splitlines()
        exported = sorted(line.split()[-1] for line in lines if " A " not in line)
        wanted = sorted(f"{function['name']}@@TENON_{function['since']}" for function in DESCRIPTION["functions"])
        self.assertEqual(exported, wanted)
        self.assertEqual({line.split()[1] for line in lines if " A " not in line}, {"T"})

    def test_it_has_no_writable_data(self):
        sections = {number: name for number, name in re.findall(r"\[ *(\d+)\] (\S+)", output_of("readelf", "-SW", LIBRARY))}
        symbols = [line.split() for line in output_of("readelf", "-sW", LIBRARY).splitlines()]
        found = {words[7] for words in symbols if len(words) > 7 and words[3] in ("OBJECT", "NOTYPE", "TLS") and
                 sections.get(words[6]) in (".data", ".bss", ".tdata", ".tbss")}
        self.assertEqual(found - set(WRITABLE), set())
        sizes = {name: int(size, 16) for name, size in
                 re.findall(r"\] (\.\w+) +\w+ +\w+ \w+ (\w+)", output_of("readelf", "-SW", LIBRARY))}
        self.assertLessEqual(sizes[".data"] + sizes[".bss"], 16)
        self.assertNotIn(".tbss", sizes)

    def test_it_imports_nothing_that_surprises_a_host(self):
        imports = self.imports()
        for what, names in FORBIDDEN.items():
            self.assertEqual(sorted(imports & set(names.split())), [], what)
        self.assertLessEqual(set(NAMED), imports, "no longer needed: take it off the list")

    def test_the_list_of_forbidden_imports_finds_something(self):
        source = write_text("#include <stdio.h>\n#include <stdlib.h>\nvoid f(void) { puts(getenv(\"A\")); abort(); }\n",
                            self.folder(), "bad.c")
        library = source[:-2] + ".so"
        output_of("gcc", "-shared", "-fPIC", source, "-o", library)
        imports = {line.split()[-1].split("@")[0] for line in output_of("nm", "-D", "--undefined-only", library).splitlines()}
        self.assertEqual(imports & set(" ".join(FORBIDDEN.values()).split()), {"puts", "abort"})

    def test_it_needs_what_it_says(self):
        dynamic = output_of("readelf", "-dW", LIBRARY)
        self.assertEqual(sorted(re.findall(r"\(NEEDED\).*\[(.*?)\.so", dynamic)), ["libc", "libcrypto", "libcurl", "libjansson"])
        self.assertNotRegex(dynamic, r"\((RPATH|RUNPATH|TEXTREL|SYMBOLIC)\)|TEXTREL")

    def test_no_other_copy_stands_in_for_what_it_calls_of_itself(self):
        self.assertEqual(re.findall(r"\btenon_\w+", output_of("readelf", "-rW", LIBRARY)), [])

    def test_it_is_hardened(self):
        headers = output_of("readelf", "-lW", LIBRARY)
        self.assertRegex(headers, r"GNU_STACK .* RW +0x")
        self.assertIn("GNU_RELRO", headers)
        self.assertNotRegex(headers, r"LOAD .* RWE ")
        self.assertRegex(output_of("readelf", "-dW", LIBRARY), r"FLAGS_1\).*NOW")

    def test_it_is_small(self):
        stripped = os.path.join(self.folder(), "libtenon.so")
        output_of("strip", "-o", stripped, LIBRARY)
        self.tell(f"stripped {os.path.getsize(stripped)} bytes")
        self.assertLess(os.path.getsize(stripped), MIB)

    def test_the_archive_keeps_to_its_own_names(self):
        lines = output_of("nm", "-g", "--defined-only", os.path.join(BUILD, "lib", "libtenon.a")).splitlines()
        names = {line.split()[2] for line in lines if len(line.split()) == 3}
        self.assertGreater(len(names), 100)
        self.assertEqual([name for name in sorted(names) if not name.startswith(("tenon_", "tn_"))], [])


# ---- in a process ----

class Behaviour(Case):
    """What a host notices of it while it works."""

    def test_it_prints_nothing_and_changes_nothing_of_the_process(self):
        # Where a name must be resolved, libcurl does that on a thread of its own; here all addresses are numbers.
        hub.settings(cdn=False)
        report = os.path.join(self.folder(), "report")
        program = self.compile("quiet", "-rdynamic")
        self.assertEqual(installed.run(program, hub.url, self.folder(), SUPERVISOR, report), "")
        self.tell(read_text(report))

    def test_all_memory_is_given_back(self):
        self.tell(installed.run(self.compile("memory"), hub.url, self.folder()))

    def test_a_plug_in_is_loaded_a_hundred_times(self):
        copy = os.path.join(self.folder(), "libtenon-copy.so")
        shutil.copy(os.path.realpath(LIBRARY), copy)
        program = self.compile("plugin", flags=[*installed.flags("--cflags"), "-lcurl", "-ldl"])
        self.tell(installed.run(program, os.path.realpath(LIBRARY), copy, hub.url, self.folder()))
        self.tell(installed.run(program, os.path.realpath(LIBRARY), copy, hub.url, self.folder(), "careless"))

    def test_ten_contexts_on_ten_threads(self):
        installed.run(self.compile("threads", "-pthread"), hub.url, self.folder())
        self.assertEqual(hub.violations(), [])

    def test_a_fork(self):
        folder = self.folder()
        functions = [function for function in DESCRIPTION["functions"] if with_status(function)]
        self.assertGreater(len(functions), 60)
        write_text(calls(functions, "TENON_ERROR_MISUSE"), folder, "calls.h")
        hub.faults({"origin": "cdn", "slow": 6 * MIB})
        program = self.compile("forked", include=[folder])
        path = installed.run(program, hub.url, self.folder(), SUPERVISOR).strip()
        with open(path, "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(found, os.path.basename(os.path.realpath(path)))


class Nulls(Case):
    """What a caller gets for a NULL."""

    def test_every_pointer_of_every_function(self):
        folder = self.folder()
        functions = [function for function in DESCRIPTION["functions"] if with_status(function)]
        write_text(calls_with_null(functions), folder, "calls.h")
        shutil.copytree(os.path.join(ROOT, "examples", "hub"), os.path.join(folder, "hub"))
        lines = installed.run(self.compile("nulls", include=[folder]), f"file://{folder}/hub", self.folder(), SUPERVISOR).splitlines()
        answers = {tuple(words[:2]): words[2] for words in map(str.split, lines)}
        self.assertGreater(len(answers), 150)
        wrong = []
        for function in functions:
            listed = {error["status"] for error in function.get("errors", ())}
            for parameter in function["parameters"]:
                answer = answers.get((function["name"], parameter["name"]))
                fits = (answer in listed or (answer is not None and "ERROR" not in answer)) if parameter.get("nullable") else \
                    answer in listed and answer in ("TENON_ERROR_ARGUMENT", "TENON_ERROR_MISUSE")
                if "*" in parameter["type"] and not fits:
                    wrong.append(f"{function['name']}: NULL for {parameter['name']} gives {answer}")
        self.assertEqual(wrong, [])


class Sizes(Case):
    """Callers that were compiled against an older or a newer header."""

    def build(self, name, text, *options, more=()):
        folder = self.folder()
        write_text(text, folder, "tenon.h")
        for other, content in more:
            write_text(content, folder, other)
        return self.compile(name, *options, include=[folder])

    def test_the_headers_differ(self):
        header = read_text(ROOT, "include", "tenon.h")
        self.assertEqual(newer_header().count("int64_t later;"), len(DESCRIPTION["structs"]))
        fields = [len(re.findall(r"^    [^/\n].*;$", text, re.M)) for text in (older_header(), header, newer_header())]
        self.assertEqual(fields, sorted(set(fields)))

    def test_the_same_header(self):
        installed.run(self.compile("sizes"), HUB, self.folder())

    def test_the_recorded_headers(self):
        # What users have compiled against, on this library: whole programs, and every struct.
        recorded = sorted(glob.glob(os.path.join(ROOT, "tests", "abi", f"tenon-{DESCRIPTION['version'].split('.')[0]}.*.h")))
        self.assertGreater(len(recorded), 0)
        for path in recorded:
            with self.subTest(os.path.basename(path)):
                installed.run(self.build("sizes", read_text(path)), HUB, self.folder())
                for compiler, source in Outside.SOURCES:
                    folder = self.folder()
                    write_text(read_text(path), folder, "tenon.h")
                    program = installed.compile(Outside.source(source), os.path.join(folder, "program"), compiler=compiler,
                                                include=[folder])
                    installed.run(program, HUB, self.folder())

    def test_an_older_header(self):
        installed.run(self.build("sizes", older_header(), "-DOLDER"), HUB, self.folder())

    def test_a_newer_header(self):
        installed.run(self.build("sizes", newer_header(), "-DLATER"), HUB, self.folder())

    def test_every_function_refuses_an_option_it_does_not_know(self):
        functions = [function for function in DESCRIPTION["functions"] if with_options(function)]
        self.assertGreater(len(functions), 20)
        generated = calls(functions, "TENON_ERROR_UNSUPPORTED", options=".later = 1")
        installed.run(self.build("options", newer_header(), more=[("calls.h", generated)]), HUB, self.folder(), SUPERVISOR)


# ---- installed ----

needs_cmake = unittest.skipUnless(shutil.which("cmake"), "cmake is not installed")


class Outside(Case):
    """Somebody else's program, built against what was installed."""

    SOURCES = (("gcc", "program.c"), ("g++", "program.cpp"))

    @staticmethod
    def source(name):
        return os.path.join(HERE, "outside", name)

    def check(self, program, run=None):
        home = self.folder()
        path = (run or installed).run(program, HUB, home).strip()
        self.assertTrue(path.startswith(home), path)
        self.assertEqual(read_text(path), read_text(ROOT, "examples", "hub", "tenon", "tiny", "config.json"))

    def test_what_is_installed(self):
        prefix = os.path.join(installed.folder, "usr", "local")
        found = [os.path.relpath(os.path.join(place, name), prefix) for place, _, names in os.walk(prefix) for name in names]
        names = sorted(re.sub("^lib(64|/[^/]*-linux-gnu)?/", "lib/", path) for path in found)
        version = DESCRIPTION["version"]
        self.assertEqual(names, ["bin/tenon", "include/tenon.h", "lib/cmake/tenon/tenon-config-version.cmake",
                                 "lib/cmake/tenon/tenon-config.cmake", "lib/libtenon.a", "lib/libtenon.so", "lib/libtenon.so.0",
                                 f"lib/libtenon.so.{version}", "lib/pkgconfig/tenon.pc", "libexec/tenon/tenon-supervisor"])

    def test_shared_by_pkg_config(self):
        for compiler, source in self.SOURCES:
            program = installed.compile(self.source(source), os.path.join(self.folder(), "program"), compiler=compiler)
            self.assertIn("[libtenon.so.0]", output_of("readelf", "-dW", program))
            self.check(program)

    def test_static_by_pkg_config(self):
        static = installed.without_shared(os.path.join(self.folder(), "static"))
        # A libcurl that is itself shared brings along what it needs; Debian has the archives' sides of that only on request.
        flags = [flag for flag in static.flags("--cflags", "--libs", "--static")
                 if not flag.startswith("-l") or is_there(static, flag)]
        self.assertIn("-ltenon", flags)
        self.assertLessEqual({"-lcurl", "-ljansson", "-lcrypto"}, set(flags))
        for compiler, source in self.SOURCES:
            program = static.compile(self.source(source), os.path.join(self.folder(), "program"), compiler=compiler, flags=flags)
            self.assertNotIn("libtenon", output_of("readelf", "-dW", program))
            self.check(program, static)

    def test_as_a_subproject_of_meson(self):
        project = os.path.join(self.folder(), "outside")
        shutil.copytree(os.path.join(HERE, "outside"), project)
        for name in ("lib", "include"):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(project, "subprojects", "tenon", name))
        shutil.copy(os.path.join(ROOT, "meson.build"), os.path.join(project, "subprojects", "tenon"))
        build = os.path.join(project, "build")
        output_of("meson", "setup", build, project, "-Doptimization=0", "-Ddebug=false", "--wrap-mode=nodownload",
                  env=dict(os.environ, PKG_CONFIG_PATH=""))
        output_of("ninja", "-C", build, "in-c", "in-cpp")
        for name in ("in-c", "in-cpp"):
            self.check(os.path.join(build, name))

    def build_by_cmake(self, *options, **variables):
        """Both programs of the project, by CMake."""
        build = self.folder()
        output_of("cmake", "-S", os.path.join(HERE, "outside"), "-B", build, "-G", "Ninja", *options,
                  env=dict(os.environ, **variables))
        output_of("cmake", "--build", build)
        return [os.path.join(build, name) for name in ("in-c", "in-cpp")]

    @needs_cmake
    def test_by_pkg_config_in_cmake(self):
        # As if it had been installed where it lies: a root folder would count for what it needs of the system too.
        pc = self.folder()
        write_text(read_text(installed.pc).replace("prefix=/", f"prefix={installed.folder}/", 1), pc, "tenon.pc")
        for program in self.build_by_cmake(PKG_CONFIG_PATH=pc):
            self.assertIn("[libtenon.so.0]", output_of("readelf", "-dW", program))
            self.check(program)

    @needs_cmake
    def test_by_a_package_of_cmake(self):
        place = f"-DCMAKE_PREFIX_PATH={installed.folder}/usr/local"
        for static, name in (("OFF", "[libtenon.so.0]"), ("ON", "")):
            for program in self.build_by_cmake("-DPACKAGE=ON", f"-Dtenon_STATIC={static}", place):
                self.assertEqual("libtenon" in output_of("readelf", "-dW", program), static == "OFF")
                self.assertIn(name, output_of("readelf", "-dW", program))
                self.check(program)
        with self.assertRaisesRegex(AssertionError, f"{DESCRIPTION['version']}|compatible"):
            self.build_by_cmake("-DPACKAGE=ON", "-DVERSION=1.0", place)

    def test_the_header_needs_no_path_of_its_own(self):
        text = read_text(installed.folder, "usr", "local", "include", "tenon.h")
        self.assertEqual(re.findall(r'#include (.*)', text), ["<stddef.h>", "<stdint.h>"])
        self.assertEqual(text, read_text(ROOT, "include", "tenon.h"))

    def test_a_tree_that_was_moved_runs_jobs(self):
        tool, home = os.path.join(installed.folder, "usr", "local", "bin", "tenon"), self.folder()
        recipe = write_text('{"command": ["/bin/true"]}', home, "recipe.json")
        output = installed.run(tool, "train", recipe, "--on", "local:cpu", "--json", quiet=False, HOME=home)
        self.assertIn('"succeeded"', output.lower())

    def test_the_tool_that_is_installed_finds_the_library(self):
        tool = os.path.join(installed.folder, "usr", "local", "bin", "tenon")
        self.assertIn(DESCRIPTION["version"], installed.run(tool, "--version", HOME=self.folder()))


def is_there(static, flag):
    """Whether the linker finds a library."""
    source = "int main(void) { return 0; }"
    return subprocess.run(["gcc", "-x", "c", "-", "-o", "/dev/null", f"-L{static.libraries}", flag], input=source, text=True,
                          capture_output=True).returncode == 0


if __name__ == "__main__":
    suite.main()
