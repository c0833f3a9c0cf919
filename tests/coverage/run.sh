#!/usr/bin/env bash
# Which lines of the core its tests in memory reach.
#
#     bash tests/coverage/run.sh [PERCENT]
#
# Fails when it is less than PERCENT of them; prints each line that is not reached. Needs the
# component `llvm-tools` of the toolchain, and installs it with rustup; status 3 says that it cannot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly floor=${1:-0}
readonly out=${CARGO_TARGET_DIR:-$PWD/target}/coverage
tools=$(dirname "$(rustc --print target-libdir)")/bin
if ! [[ -x $tools/llvm-cov ]]; then
    { command -v rustup >/dev/null && rustup component add llvm-tools; } || exit 3
fi

mkdir -p "$out"
rm -rf "$out/raw"
# the crate and what its tests share alone, not what it depends on
install -m 755 /dev/stdin "$out/rustc" <<<$'#!/bin/sh\nexec "$@" -C instrument-coverage'
export RUSTC_WORKSPACE_WRAPPER=$out/rustc LLVM_PROFILE_FILE=$out/raw/%m.profraw
test=(cargo test --no-default-features --features std,deflate --lib --test core
    --target-dir "$out/build")
# what takes long reaches nothing that other tests do not
"${test[@]}" -- --skip fuzz:: --skip zlib:: --skip a_large_feed_is_linear

programs=$("${test[@]}" --no-run --message-format=json 2>/dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    program = json.loads(line).get("executable")
    if program:
        print(program)')
"$tools/llvm-profdata" merge -sparse "$out"/raw/*.profraw -o "$out/all.profdata"
objects=()
for program in $programs; do
    objects+=(-object "$program")
done
"$tools/llvm-cov" export -format=lcov -instr-profile "$out/all.profdata" "${objects[@]}" \
    >"$out/lcov.info"
python3 tests/coverage/report.py "$out/lcov.info" "$floor"
