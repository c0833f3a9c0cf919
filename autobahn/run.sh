#!/usr/bin/env bash
# The Autobahn test suite against the examples.
#
#   autobahn/run.sh [server|client] [--adapter tokio|events|blocking|mio] [CASES] [-- ARGS]
#
# CASES are patterns such as `9.1.* 6.4.1`, with commas or spaces; without any,
# all but 12.* and 13.* (compression, minutes). ARGS go to the example. Exits
# with 0 only if nothing fell short. Everything stays on the loopback interface.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
mkdir -p "${CARGO_TARGET_DIR:-$root/target}"
target=$(cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)
export CARGO_TARGET_DIR=$target

fail() {
    echo "autobahn: $*" >&2
    exit 1
}

usage() {
    echo "autobahn: $*" >&2
    echo "usage: autobahn/run.sh [server|client] [--adapter ADAPTER] [CASES] [-- ARGS]" >&2
    echo "adapters: tokio, blocking, and of the server events and mio" >&2
    exit 2
}

role=server
adapter=tokio
patterns=()
args=()
while (($#)); do
    case $1 in
    server | client) role=$1 ;;
    --adapter)
        (($# > 1)) || usage "--adapter needs a name"
        adapter=$2
        shift
        ;;
    --)
        shift
        args=("$@")
        break
        ;;
    [0-9*]*)
        IFS=', ' read -ra more <<<"$1"
        patterns+=("${more[@]}")
        ;;
    *) usage "unknown argument $1" ;;
    esac
    shift
done

case $role-$adapter in
server-tokio) example=echo ;;
server-events) example=echo_events ;;
server-blocking) example=echo_blocking ;;
server-mio) example=echo_mio ;;
client-tokio) example=autobahn_client ;;
client-blocking)
    example=autobahn_client
    args=(--blocking "${args[@]}")
    ;;
*) usage "there is no $role on $adapter" ;;
esac
agent=sansws-$role-$adapter

# --- what it takes -----------------------------------------------------------

python3 "$here/check.py" --self-test
bash "$here/install.sh"
(cd "$root" && cargo build --quiet --release --example "$example")
program=$target/release/examples/$example

work=$target/autobahn/reports/$role-$adapter
rm -rf "$work"
mkdir -p "$work"

read -r parts slow < <(python3 "$here/cases.py" "$work" "${patterns[@]}") || exit 1
limit=300 # seconds: a case can wait for ever
if ((slow)); then
    limit=2400
    if [[ $("$program" --help 2>&1) == *--deflate* ]]; then
        args=(--deflate "${args[@]}")
    fi
fi

# --- running -----------------------------------------------------------------

# What the installation may have unpacked beside the suite has to be found.
bounded=(timeout --kill-after=10 "$limit")
suite=("${bounded[@]}" env "LD_LIBRARY_PATH=$target/autobahn/debian/lib"
    "$target/autobahn/suite/bin/python" "$here/suite.py")

# Whatever happens, nothing that was started here outlives this script.
stop_all() {
    local pids
    mapfile -t pids < <(jobs -pr)
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# await_url LOG PID: waits until that process says where it listens, and sets url.
await_url() {
    local _
    touch "$1" # the process may not have come to that yet
    for _ in {1..200}; do
        url=$(sed -n 's/^listening on //p' "$1")
        if [[ -n $url ]]; then
            return
        fi
        kill -0 "$2" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 5 "$1" >&2
    fail "nobody listens, see $1"
}

# finish PID LOG: waits for a process that decides itself when it is over.
unfinished=0
finish() {
    local status=0
    wait "$1" || status=$?
    if ((status)); then
        tail -n 5 "$2" >&2
        ((status != 124)) || echo "autobahn: not over after $limit s" >&2
        echo "autobahn: exit status $status, see $2" >&2
        unfinished=1
    fi
}

declare -A runs=() # by process, its log
if [[ $role == server ]]; then
    "${bounded[@]}" "$program" 127.0.0.1:0 "${args[@]}" >"$work/example.log" 2>&1 &
    await_url "$work/example.log" $!
    server=$!
    for ((part = 1; part <= parts; part++)); do
        log=$work/part-$part.log
        "${suite[@]}" client "$work/part-$part.json" "$agent" "$url" >"$log" 2>&1 &
        runs[$!]=$log
    done
else
    for ((part = 1; part <= parts; part++)); do
        "${suite[@]}" server "$work/part-$part.json" >"$work/part-$part.log" 2>&1 &
        await_url "$work/part-$part.log" $!
        log=$work/example-$part.log
        "${bounded[@]}" "$program" "$url" --agent "$agent" "${args[@]}" >"$log" 2>&1 &
        runs[$!]=$log
    done
fi
for pid in "${!runs[@]}"; do
    finish "$pid" "${runs[$pid]}"
done
if [[ $role == server ]] && ! kill -0 "$server" 2>/dev/null; then
    echo "autobahn: the server has ended, see $work/example.log" >&2
    unfinished=1
fi

# --- the result --------------------------------------------------------------

status=0
python3 "$here/check.py" "$work" "$agent" "${patterns[@]}" || status=1
((unfinished == 0 && status == 0))
