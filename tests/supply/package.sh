#!/usr/bin/env bash
# Packs the crate as for crates.io, and uses the package as others will: its programs compile, and so
# does a program that depends on it and nothing else, which talks to itself.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
dest=$target/package/unpacked

cargo package --allow-dirty --no-verify # the package is built below
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
rm -rf "$dest"
mkdir -p "$dest/user/src"
tar -xzf "$target/package/sansws-$version.crate" -C "$dest"
crate=$dest/sansws-$version
(cd "$crate" && find . -type f | sort)
du -h "$target/package/sansws-$version.crate"
# a build runs nothing of the crate itself
[[ ! -e $crate/build.rs ]]

export CARGO_TARGET_DIR=$target/package/build
cargo check --manifest-path "$crate/Cargo.toml" --examples

cat >"$dest/user/Cargo.toml" <<EOF
[package]
name = "user"
version = "0.0.0"
edition = "2024"
[dependencies]
sansws = { path = "../sansws-$version" }
[workspace]
EOF
cat >"$dest/user/src/main.rs" <<'EOF'
fn main() -> Result<(), sansws::Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let server = std::thread::spawn(move || {
        let mut ws = sansws::blocking::accept(listener.accept()?.0)?;
        while let Some(message) = ws.recv()? {
            ws.send(message)?;
        }
        Ok::<(), sansws::Error>(())
    });
    let mut ws = sansws::blocking::connect(&url)?;
    ws.send("from the package alone")?;
    println!("{:?}", ws.recv()?.expect("an echo"));
    ws.close(sansws::CloseCode::NORMAL, "")?;
    while ws.recv()?.is_some() {}
    server.join().expect("no panic")
}
EOF
cp Cargo.lock "$dest/user/" # the same versions, so that they are there already
cargo run --manifest-path "$dest/user/Cargo.toml"
