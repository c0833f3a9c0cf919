#!/usr/bin/env bash
# Prints the flash that handshake and echo take on a Cortex-M4, in bytes: `bash size.sh`.
# Needs the target (`rustup target add thumbv7em-none-eabihf`) and `readelf` (Debian: binutils).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=thumbv7em-none-eabihf
directory=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --bin sansws-embedded --target "$target" --target-dir "$directory"
total=0
# what is loaded: code, constants, initial values
for length in $(readelf -lW "$directory/$target/release/sansws-embedded" |
    awk '$1 == "LOAD" { print $5 }'); do
    total=$((total + length))
done
echo "$total"
