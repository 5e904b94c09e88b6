# Sourced by the scripts: keeps one virtual environment for all of them, .venv in the repository's root.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
STAMP=$VENV/installed  # what the installation was made from, and then the extras in it, a line each
IS_RECENT='import sys; sys.exit(sys.version_info < (3, 11))'

say() {
    printf '%s: %s\n' "$(basename "$0")" "$*"
}

# environment EXTRA...: make .venv ready with these extras; without a call of pip when it already is.
environment() {
    local extras stamp begin=$SECONDS
    extras=$({ installed_extras && printf '%s\n' "$@"; } | sort -u)
    stamp=$({ echo "$ROOT" && cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml"; } | cksum)$'\n'$extras
    if "$PYTHON" -c "$IS_RECENT" 2>/dev/null; then
        [[ -f $STAMP && $(<"$STAMP") == "$stamp" ]] && return
    else
        make_venv
    fi
    extras=${extras//$'\n'/,}
    say "installing the package with its extras $extras into $VENV; that takes about a minute, once"
    rm -f "$STAMP"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input --editable "${ROOT}[$extras]"
    printf '%s\n' "$stamp" >"$STAMP"
    say "installed in $((SECONDS - begin)) s"
}

installed_extras() {
    if [[ -f $STAMP ]]; then tail -n +2 "$STAMP"; fi
}

make_venv() {
    local python
    python=$(find_python) || {
        say "needs Python 3.11 or later with its venv module (on Debian: python3.11-venv); found none" >&2
        exit 1
    }
    say "making $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV"
}

find_python() {
    local name
    for name in python3.11 python3 python3.12 python3.13 python3.14; do
        if "$name" -c "$IS_RECENT" 2>/dev/null && "$name" -c 'import ensurepip, venv' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}
