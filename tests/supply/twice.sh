#!/usr/bin/env bash
# Builds the crate twice, in two folders, without a network, and compares the bytes: nothing in a build
# depends on the time, on a random number, or on what can be reached.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}

without_network=()
if unshare --net true 2>/dev/null; then
    without_network=(unshare --net)
else
    echo '!!! THE NETWORK IS THERE: this machine does not let a build be cut off, cargo is only told to do without' >&2
fi
export CARGO_INCREMENTAL=0 # what it keeps from one build to the next differs
cargo fetch --quiet
for which in one two; do
    copy=$target/twice/$which
    rm -rf "$copy"
    # at the same place both times, since that is part of the symbols' names
    rm -rf "$target/twice/source"
    mkdir -p "$target/twice/source" "$copy"
    cp -r src README.md LICENSE-* Cargo.lock "$target/twice/source"
    awk '/^\[/ { keep = !/^\[dev-dependencies|^\[\[(test|bench|example)\]\]/ } keep' \
        Cargo.toml >"$target/twice/source/Cargo.toml"
    "${without_network[@]}" cargo build --quiet --offline --lib \
        --manifest-path "$target/twice/source/Cargo.toml" --target-dir "$target/twice/build"
    cp "$target/twice/build/debug/libsansws.rlib" "$copy"
    rm -rf "$target/twice/build/debug/"{libsansws.*,.fingerprint/sansws-*,deps/libsansws*,incremental}
    sleep 1.1 # another second
done
sha256sum "$target/twice/"{one,two}/libsansws.rlib
cmp "$target/twice/"{one,two}/libsansws.rlib
