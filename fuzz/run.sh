#!/usr/bin/env bash
# Runs every fuzzer, 20 seconds each or as long as the first argument says:
#
#   [SEED=N] [JOBS=N] fuzz/run.sh [SECONDS] [TARGET...]
#
# As many run at once as JOBS says, or as there are processors. With SEED the
# same inputs come in every run of the same code and corpus.
# Starts from the seeds in fuzz/corpus and leaves what it finds worth keeping in
# target/fuzz/corpus (or $CARGO_TARGET_DIR/fuzz/corpus), so that the next run
# goes on from there. An input that breaks something ends the run of its target;
# it is in target/fuzz/artifacts then, and printed at the end in base64.
#
# Exit status: 0 nothing was found; 1 something was, or did not build;
# 3 there is no nightly toolchain, and nothing has run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly cargo_fuzz=0.13.2
readonly missing_nightly=3
target=${CARGO_TARGET_DIR:-$here/../target}
mkdir -p "$target/fuzz"
target=$(cd "$target" && pwd)

at_once=${JOBS:-$(nproc)}
seconds=${1:-20}
shift || true
targets=("$@")
if ((${#targets[@]} == 0)); then
    targets=(
        backplane_envelope byte_stream client_url compressed_messages deflate_streams
        endpoint_client endpoint_server forwarded_headers frame_stream_client frame_stream_server
        handshake_request handshake_response operations refusal_body request_parts server_routes
        utf8
    )
fi

if ! command -v rustup >/dev/null || ! rustup toolchain list | grep -q '^nightly'; then
    echo '!!! NOTHING WAS FUZZED: the fuzzers need a nightly toolchain of Rust, and there is none' >&2
    exit "$missing_nightly"
fi

export PATH="$target/fuzz/tools/bin:$PATH"
if [[ $(cargo fuzz --version 2>/dev/null) != "cargo-fuzz $cargo_fuzz" ]]; then
    echo "installing cargo-fuzz $cargo_fuzz into $target/fuzz/tools"
    install=(cargo install --quiet --locked --root "$target/fuzz/tools" --version "$cargo_fuzz" cargo-fuzz)
    "${install[@]}" || { sleep 10 && "${install[@]}"; }
fi

cd "$here"
build=(--fuzz-dir . --target-dir "$target/fuzz/build")
cargo +nightly fuzz build "${build[@]}"

# Memory that is lost is looked for from outside of the process, which not every machine allows.
probe=$(cargo +nightly fuzz run "${build[@]}" utf8 corpus/utf8 -- \
    -runs=1 -artifact_prefix="$target/fuzz/probe-" 2>&1) || true
if [[ $probe == *'LeakSanitizer has encountered a fatal error'* ]]; then
    echo '!!! LOST MEMORY IS NOT LOOKED FOR: this machine does not let the leak sanitizer work' >&2
    export ASAN_OPTIONS=detect_leaks=0
fi

# run NAME: one fuzzer; leaves NAME.found if it does not end well. Inputs have 4 KiB at most (longer
# seeds are cut), so that no allocation has a reason to come near 16 MiB, whatever a header announces.
run() {
    local name=$1
    local corpus=$target/fuzz/corpus/$name artifacts=$target/fuzz/artifacts/$name
    local log=$target/fuzz/$name.log took=$target/fuzz/$name.time
    local TIMEFORMAT='%U %S'
    mkdir -p "$corpus" "$artifacts"
    touch "$target/fuzz/$name.found"
    if ! { time cargo +nightly fuzz run "${build[@]}" "$name" "$corpus" "corpus/$name" -- \
        -max_total_time="$seconds" -seed="${SEED:-0}" -max_len=4096 -timeout=30 -malloc_limit_mb=16 \
        -rss_limit_mb=1024 -artifact_prefix="$artifacts/" -print_final_stats=1 \
        >"$log" 2>&1; } 2>"$took"; then
        tail -n 60 "$log"
        return
    fi
    local runs edges
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1 | tr -dc 0-9)
    printf '%-20s %10d executions, %5d edges, nothing found in %.0f s of processor time\n' \
        "$name" "$runs" "$edges" "$(awk '{ print $1 + $2 }' "$took")"
    rm "$target/fuzz/$name.found"
}

rm -f "$target"/fuzz/*.found
for name in "${targets[@]}"; do
    while (($(jobs -rp | wc -l) >= at_once)); do
        wait -n || true
    done
    run "$name" &
done
wait

found=0
for name in "${targets[@]}"; do
    if [[ -e $target/fuzz/$name.found ]]; then
        found=1
        echo "!!! $name found something: see $target/fuzz/$name.log and $target/fuzz/artifacts/$name"
        grep -aE -A 1 'panicked at|^SUMMARY|^Base64' "$target/fuzz/$name.log" | tail -n 6 || true
    fi
done
exit "$found"
