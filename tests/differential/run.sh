#!/usr/bin/env bash
# The same streams of frames for sansws, tungstenite and python wsproto; every
# difference must be a known one. Takes how many streams for each role wsproto
# gets (it is slow), and the number of the first one.
#
#   tests/differential/run.sh [STREAMS [SEED]]
#
# wsproto is installed into target/differential (or $CARGO_TARGET_DIR/differential).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
venv=$target/differential/venv
cargo=(--manifest-path "$here/Cargo.toml" --target-dir "$target/differential/build")

# The last thing an installation does is to leave a copy of its pins behind.
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    echo "installing $(tr '\n' ' ' <"$here/requirements.txt")into $venv"
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

cargo clippy --quiet "${cargo[@]}" --all-targets -- -D warnings
echo 'against tungstenite:'
cargo test --quiet "${cargo[@]}" -- --nocapture
echo 'against wsproto:'
cargo run --quiet "${cargo[@]}" -- "${1:-3000}" "${2:-0}" |
    "$venv/bin/python" "$here/compare_wsproto.py"
