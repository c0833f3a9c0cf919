#!/usr/bin/env bash
# cargo-deny with deny.toml, over what a user of the crate gets:
#
#   deny.sh tree         licences and sources with all features, and duplicates with the default ones
#   deny.sh advisories   known vulnerabilities; exits with 3 where their list cannot be had
#   deny.sh licences     lists all licences, with the crates under each
#
# It is compiled into target/supply (or $CARGO_TARGET_DIR/supply) once, which takes some minutes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
readonly version=0.20.2
dest=${CARGO_TARGET_DIR:-$PWD/target}/supply
deny=$dest/bin/cargo-deny
config=$here/deny.toml

if [[ $("$deny" --version 2>/dev/null) != "cargo-deny $version" ]]; then
    cargo install --quiet --locked --root "$dest" --version "$version" cargo-deny
fi

case ${1:-tree} in
tree)
    "$deny" --config "$config" --all-features check licenses sources
    "$deny" --config "$config" check bans
    ;;
advisories)
    "$deny" --config "$config" fetch db || exit 3
    "$deny" --config "$config" --all-features --offline check advisories
    ;;
licences)
    "$deny" --config "$config" --all-features --exclude-dev list --layout license
    ;;
*)
    echo "$0: no such check: $1" >&2
    exit 2
    ;;
esac
