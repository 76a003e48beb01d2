#!/bin/sh
# Installs what the measures need, and measures tenon beside other software: see run.py.
#
#   sh tests/bench/run.sh [OPTION...] [ROW...]
#
# Run as root or as a user with sudo, on a machine with nothing else to do.
set -eu
cd "$(dirname "$0")/../.."
. tests/support/install.sh
install_packages meson ninja-build gcc libc6-dev pkg-config binutils libcurl4-openssl-dev libjansson-dev libssl-dev python3 \
    python3-venv ca-certificates openssl nginx-light curl aria2 linux-perf
python=/usr/bin/python3
[ -x "$python" ] || python=python3
exec "$python" tests/bench/run.py "$@"
