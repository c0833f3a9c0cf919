#!/usr/bin/env bash
# Installs the WebSocket implementations that tests/programs talks to into
# target/interop/ (or $CARGO_TARGET_DIR/interop/): a Python virtual environment
# and a node_modules folder. Touches nothing else; does nothing when both are
# there in the pinned versions.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dest=${CARGO_TARGET_DIR:-$root/target}/interop

mkdir -p "$dest"

# Each half leaves a copy of its pins behind, as the last thing it does: a half
# that was interrupted, or that has other versions, is installed afresh.
if ! cmp -s "$here/requirements.txt" "$dest/venv/installed.txt"; then
    echo "installing $(tr '\n' ' ' <"$here/requirements.txt")into $dest/venv"
    rm -rf "$dest/venv"
    python3 -m venv "$dest/venv"
    "$dest/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$dest/venv/installed.txt"
fi

if ! cmp -s "$here/package.json" "$dest/node_modules/installed.json"; then
    echo "installing the packages of tests/interop/package.json into $dest/node_modules"
    rm -rf "$dest/node_modules"
    cp "$here/package.json" "$dest/package.json"
    npm install --prefix "$dest" --no-package-lock --no-audit --no-fund --loglevel=error
    cp "$here/package.json" "$dest/node_modules/installed.json"
fi

"$dest/venv/bin/python" -c 'import websockets; print("python websockets", websockets.__version__)'
(cd "$dest" && node -e 'console.log("node ws", require("ws/package.json").version)')
