#!/bin/sh
# The whole story on this machine: installs what it needs, builds tenon, and then brings a model from a hub, says what
# hardware it fits, trains it, publishes the result, serves it, and asks it a question. About two minutes on two processors.
#
#   sh examples/story.sh              with the tiny model that lies in examples/hub; needs no network but Debian's packages
#   sh examples/story.sh MODEL        begins with a model of the Hugging Face Hub: fetches it, says what it fits, and serves it
#                                     where an engine that knows it (llama-server, vllm) is installed
#
# Run as root or as a user with sudo, as often as you like. Everything it makes lies in build/ of the checkout; only MODEL
# goes to the cache that the official tools use.
set -eu
cd "$(dirname "$0")/.."
story=$PWD/build/story
tool=$PWD/build/release/examples/tenon
tiny=tenon/tiny
joiner=me/joiner

say() { printf '\n== %s\n' "$*"; }

# Shows a command as one would type it, and runs it.
tenon() {
    printf '\n$ tenon'
    for word; do
        case $word in *" "*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    echo
    "$tool" "$@"
}

install() {
    say "Installing what it takes"
    . tests/support/install.sh
    install_packages meson ninja-build gcc libc6-dev pkg-config libcurl4-openssl-dev libjansson-dev libssl-dev python3-numpy
}

build() {
    say "Building"
    [ -f build/release/build.ninja ] || meson setup build/release -Dbuildtype=release >build/setup.log 2>&1 || { tail -n 20 build/setup.log >&2; exit 1; }
    ninja -C build/release lib/tenon-supervisor examples/tenon >build/build.log 2>&1 || { tail -n 20 build/build.log >&2; exit 1; }
    "$tool" --version
}

# Ends what an earlier run may have left behind, and what this one would.
clear_away() {
    for job in $("$tool" ps --json 2>/dev/null | sed -n 's/.*"id": "\(local:[0-9a-f]*\)".*/\1/p'); do
        "$tool" stop --quiet --now "$job" || true
    done
}

# What a model of the Hub is, what this machine could do with it, and an answer where an engine is installed.
real_model() {
    say "$1, from ${HF_ENDPOINT:-the Hugging Face Hub}"
    tenon info "$1"
    tenon plan "$1" || [ $? = 6 ]
    tenon plan "$1" --lora || [ $? = 6 ]
    tenon download "$1"
    if command -v llama-server >/dev/null || command -v vllm >/dev/null; then
        tenon serve "$1" --name model --detach
        tenon chat model "What is a tenon?"
        tenon stop model
    else
        printf '\nTo serve it, install llama-server (for GGUF files) or vllm (for safetensors).\n'
    fi
    say "The story goes on with a tiny model"
}

# A hub of our own, with the tiny model in it, and a cache of our own.
begin() {
    rm -rf "$story"
    mkdir -p "$story"
    cp -R examples/hub "$story/hub"
    export HF_ENDPOINT="file://$story/hub" HF_HOME="$story/cache"
}

story() {
    say "1. A model comes from a hub ($HF_ENDPOINT)"
    tenon info "$tiny"
    tenon download "$tiny"

    say "2. What hardware does it fit?"
    tenon plan "$tiny" --train

    say "3. A job on this machine trains it, and shows its loss"
    tenon train examples/workload/train.json --model "$tiny" --output build/story/trained --name lesson
    tenon ps --all

    say "4. The result is published back to the hub"
    tenon publish "$joiner" build/story/trained --message "What the tiny model has learned"

    say "5. A job serves it"
    tenon serve "$joiner" --recipe examples/workload/serve.json --name joiner --detach
    tenon ps

    say "6. Ask it"
    tenon chat joiner "What is a tenon?"
    tenon chat joiner "Which do I cut first?"

    say "7. Stop it"
    tenon stop joiner
}

the_end() {
    cat <<END

== That was it
The hub, the cache, the jobs and the trained model lie in build/story. The tool is build/release/examples/tenon; --help says what else it
can do. With internet: sh examples/story.sh ggml-org/gemma-3-1b-it-GGUF, or any other model of the Hub.
END
}

mkdir -p build
install
build
export TENON_JOBS="$story/jobs" OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
clear_away
trap clear_away EXIT
trap 'exit 130' INT TERM
[ $# = 0 ] || real_model "$1"
begin
story
the_end
