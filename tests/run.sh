#!/bin/sh
# Installs what the tests need, builds, runs every test, and ends with one table.
#
#   sh tests/run.sh              everything that installs as packages
#   sh tests/run.sh --foreign    a second tier on top: what is compiled from the sources of others, and every test at full length;
#                                about an hour the first time, on 2 processors
#   sh tests/run.sh --ci         either of them, and a suite that was left out is a failure
#   sh tests/run.sh NAME...      only the suites whose names begin so
#
# Suites that go by chance print their seed: TENON_SEED=N goes the same way again. TENON_KILLS=10000 (hub/test_kill.py and
# job/test_accidents.py) and TENON_MUTATIONS=N (torture/test_hostile.py) do more of it than either tier.
#
# Run as root or as a user with sudo. What it builds lies in build/ in the checkout; clients of other people
# (huggingface_hub, @huggingface/hub, hf-hub, openai, llama.cpp) go to ${TENON_CACHE:-~/.cache/tenon-tests} and are fetched once.
set -eu
cd "$(dirname "$0")/.."

packages="meson ninja-build gcc g++ libc6-dev pkg-config binutils libcurl4-openssl-dev libjansson-dev libssl-dev libcmocka-dev
libuv1-dev libglib2.0-dev cmake python3 python3-clang python3-jinja2 python3-numpy python3-venv libclang-14-dev
abigail-tools ca-certificates openssl git nginx-light tinyproxy-bin procps curl aria2"
node="nodejs npm"
# Of the second tier: compilers, and what a real model is trained with.
foreign="clang libclang-rt-14-dev valgrind python3-torch libopenblas0-pthread"
rust="cargo-web"

. tests/support/install.sh
install_packages $packages
# Node may come from elsewhere; Debian's is large.
command -v node >/dev/null && command -v npm >/dev/null || install_packages $node
case " $* " in *" --foreign "*)
    install_packages $foreign
    # So may Rust; Debian's package "cargo" is too old.
    command -v cargo >/dev/null || install_packages $rust ;;
esac

python=/usr/bin/python3
[ -x "$python" ] || python=python3
exec "$python" tests/run.py "$@"
