#!/bin/sh
# Prints the path of uv. Where there is none, it is installed from the Python package index into .bocage/uv.
set -eu
if command -v uv; then exit 0; fi
root=$(cd "$(dirname "$0")/.." && pwd)
own="$root/.bocage/uv"
if [ ! -x "$own/bin/uv" ]; then
    mkdir -p "$root/.bocage"
    if ! python3 -m venv "$own" >/dev/null 2>&1; then
        rm -rf "$own"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            { apt-get -q -o DPkg::Lock::Timeout=900 update && apt-get -q -o DPkg::Lock::Timeout=900 install -y --no-install-recommends python3-venv; } >&2
            python3 -m venv "$own" >&2
        else
            echo "Bocage needs uv. Install it with: pipx install uv (or: sudo apt-get install python3-venv, and again)" >&2
            exit 1
        fi
    fi
    "$own/bin/pip" install --quiet uv >&2
fi
echo "$own/bin/uv"
