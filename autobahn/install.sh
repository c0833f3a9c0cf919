#!/usr/bin/env bash
# Installs the Autobahn test suite, which is a Python 2.7 program, into
# target/autobahn/ (or $CARGO_TARGET_DIR/autobahn/). Touches nothing else; does
# nothing when it is there in the pinned versions. Takes the Python 2.7 that
# PYTHON27 names, or that of pyenv, or /usr/bin/python2.7, or else unpacks that
# of Debian 11 next to the suite.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${CARGO_TARGET_DIR:-$here/../target}/autobahn"
dest=$(cd "${CARGO_TARGET_DIR:-$here/../target}/autobahn" && pwd)
suite=$dest/suite
debian=$dest/debian

# Where the libraries of Debian 11 are, if they are: Debian 12 has newer ones.
export LD_LIBRARY_PATH=$debian/lib

pins() {
    cat "$here/requirements-virtualenv.txt" "$here/requirements-wstest.txt"
}

# is_python27 PROGRAM: whether it is one, with the modules that pip cannot do without.
is_python27() {
    [[ -n $1 ]] && "$1" -c 'import sys, ctypes, ssl, zlib; sys.exit(sys.version_info[:2] != (2, 7))' \
        >/dev/null 2>&1
}

pyenv_python27() {
    local version
    version=$(pyenv versions --bare 2>/dev/null | grep '^2\.7\.' | tail -n 1)
    PYENV_VERSION=$version pyenv which python2.7 2>/dev/null
}

# Unpacks Python 2.7 from the last Debian that had it, with a package index of
# its own: neither the system's packages nor its index are touched.
unpack_debian_python27() {
    local mirror
    mirror=$(sed -nE 's/^(URIs:|deb( \[.*\])?) *([^ ]*\/debian)\/?( .*)?$/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
    [[ -n $mirror ]] || return 1
    rm -rf "$debian"
    mkdir -p "$debian"/{state/lists/partial,cache/archives/partial,lib}
    : >"$debian/status"
    cat >"$debian/apt.conf" <<EOF
Dir::State "$debian/state";
Dir::State::status "$debian/status";
Dir::Cache "$debian/cache";
Dir::Etc::sourcelist "$debian/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
EOF
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" \
        >"$debian/sources.list"
    (
        cd "$debian/cache"
        export APT_CONFIG=$debian/apt.conf
        apt-get -q update &&
            apt-get -q download \
                libffi7 libssl1.1 {,lib}python2.7{,-dev,-minimal} libpython2.7-stdlib &&
            find . -name '*.deb' -exec dpkg-deb -x {} "$debian" \;
    ) >"$debian/log" 2>&1 || {
        tail -n 5 "$debian/log"
        return 1
    }
    mv "$debian"/usr/lib/*/lib{crypto,ffi,ssl}.so* "$debian/lib"
}

find_python27() {
    local candidate
    for candidate in "${PYTHON27:-}" "$(pyenv_python27)" /usr/bin/python2.7 \
        "$debian/usr/bin/python2.7"; do
        if is_python27 "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    unpack_debian_python27 >&2 && is_python27 "$candidate" && echo "$candidate"
}

# The pins are left behind last: what was interrupted is installed afresh, and so is what has lost
# the Python that it was made from.
if ! pins | cmp -s - "$suite/installed.txt" || ! is_python27 "$suite/bin/python"; then
    python27=$(find_python27) || {
        echo "the Autobahn test suite needs Python 2.7, and there is none:" >&2
        echo "install it with pyenv, or name one in PYTHON27" >&2
        exit 1
    }
    echo "installing the Autobahn test suite into $suite, on $python27"
    rm -rf "$suite" "$dest/bootstrap"
    python3 -m venv "$dest/bootstrap"
    "$dest/bootstrap/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$here/requirements-virtualenv.txt"
    "$dest/bootstrap/bin/virtualenv" --quiet --no-download --python "$python27" "$suite"
    "$suite/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-python-version-warning --requirement "$here/requirements-wstest.txt"
    pins >"$suite/installed.txt"
fi

"$suite/bin/python" "$here/suite.py" version
