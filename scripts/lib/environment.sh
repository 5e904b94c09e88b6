# Sourced by the scripts: keeps one virtual environment for all of them, .venv in the repository's root.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$ROOT/.venv
PYTHON=$VENV/bin/python
UV=$VENV/bin/uv
STAMP=$VENV/installed  # what the installation was made from, and then the extras in it, a line each
IS_RECENT='import sys; sys.exit(sys.version_info < (3, 11))'

say() {
    printf '%s: %s\n' "$(basename "$0")" "$*"
}

# environment EXTRA...: make .venv ready with these extras; nothing is installed when it already is.
environment() {
    local extras stamp begin=$SECONDS
    extras=$({ installed_extras && printf '%s\n' "$@"; } | sort -u)
    stamp=$({ echo "$ROOT" && cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml"; } | cksum)$'\n'$extras
    if "$PYTHON" -c "$IS_RECENT" 2>/dev/null; then
        [[ -f $STAMP && $(<"$STAMP") == "$stamp" ]] && return
    else
        make_venv
    fi
    rm -f "$STAMP"
    install "${extras//$'\n'/,}"
    printf '%s\n' "$stamp" >"$STAMP"
    say "installed in $((SECONDS - begin)) s"
}

# install EXTRA,...: put the package and what it needs into .venv: by uv where that can be had, else by pip.
install() {
    local what="the package with its extras $1 into $VENV"
    if has_uv; then
        say "installing $what with uv; that takes some seconds, once"
        "$UV" pip install --quiet --python "$PYTHON" --editable "${ROOT}[$1]" && return
        say "uv failed; trying pip"
    fi
    say "installing $what with pip; that takes about a minute, once"
    run_pip --editable "${ROOT}[$1]"
}

has_uv() {
    [[ -x $UV ]] || run_pip --retries 1 --only-binary uv uv 2>/dev/null || true
    [[ -x $UV ]] || { say "uv cannot be had here" && return 1; }
}

run_pip() {
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input "$@"
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
