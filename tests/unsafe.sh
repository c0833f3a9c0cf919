#!/usr/bin/env bash
# Runs the tests of unsafe code, those that tests/meta/unsafety.rs lists, where somebody watches memory:
# under Miri, if there is a nightly that has it, and under valgrind, which runs what Miri cannot: sockets,
# AVX2, the engine of `deflate`. Without valgrind it is the address sanitizer of a nightly. With `miri`,
# `address` or `valgrind` as arguments, just those. Says in the end which it was; fails if it was none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly everywhere=(
    buf::memory::
    proto::event::
    proto::text::
    wire::mask::tests::nothing_else_is_touched
)
readonly not_in_miri=(
    server::client::line::
)
readonly target=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')
readonly host

with_miri() {
    cargo +nightly miri test --no-default-features --features std \
        --target-dir "$target/miri" --lib -- "${everywhere[@]}"
}

with_address() {
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test --target "$host" \
        --target-dir "$target/address" --lib -- "${everywhere[@]}" "${not_in_miri[@]}"
}

# The program is that of `cargo test`.
with_valgrind() {
    local program
    program=$(cargo test --lib --no-run --message-format json-render-diagnostics | python3 -c '
import json, sys
(program,) = filter(None, (json.loads(line).get("executable") for line in sys.stdin))
print(program)')
    valgrind --quiet --error-exitcode=1 "$program" --test-threads 1 \
        "${everywhere[@]}" "${not_in_miri[@]}"
}

# can NAME: whether this machine has it.
can() {
    case $1 in
        miri) cargo +nightly miri --version ;;
        address) rustc +nightly --version && [[ $host == *-linux-gnu ]] ;;
        valgrind) valgrind --version && python3 --version ;;
        *) return 1 ;;
    esac >/dev/null 2>&1
}

tools=("$@")
if ((!$#)); then
    if can miri; then tools+=(miri); fi
    if can valgrind; then tools+=(valgrind); elif can address; then tools+=(address); fi
fi
for tool in "${tools[@]}"; do
    if ! can "$tool"; then
        echo "there is no $tool here" >&2
        exit 1
    fi
    "with_$tool"
done
if ((!${#tools[@]})); then
    echo 'nothing here watches memory: neither Miri, valgrind nor the address sanitizer' >&2
    exit 1
fi
echo "the tests of unsafe code have run under: ${tools[*]}"
