# Sourced by the scripts that install something into the cache.
# shellcheck shell=bash

# once IS_INSTALLED INSTALL: install into $place unless it is there. Of several that come at once, one installs while
# the others wait: whoever put it there anew would take it away from under those that already use it.
once() {
    "$1" && return
    mkdir -p "${place%/*}" 2>/dev/null || { "$2" && return; } # it says why
    exec 9>"$place.lock"
    if command -v flock >/dev/null; then flock 9; fi # not on macOS
    # shellcheck disable=SC2064
    trap "rm -f '$place.lock'" EXIT
    "$1" || ("$2") # its own clean-up comes with it
}
