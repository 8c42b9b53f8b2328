# Set-up shared by deploy/demo and tests/run: system packages, and a virtual environment with the
# reconciler in it. To be sourced; the sourcing script sets $root, the checkout.
#
#     set_up "run test" dev    # the groups of deploy/packages, the extra of pyproject.toml
#
# leaves the environment's folder in $venv. Asks nothing, and downloads nothing where all is there.

# An ordinary user's PATH often lacks the administrator's programs.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
[ -t 0 ] || exec </dev/null

fail() {
    code=$1
    shift
    printf '%s\n' "$@" >&2
    exit "$code"
}

set_up() {
    find_python || command -v python3 >/dev/null || install python3
    find_python || fail 1 "Python 3.11 or newer is needed; this is $(python3 --version 2>&1)." \
        "Where the distribution has one beside its own: apt-get install python3.11 python3.11-venv"
    packages=$(missing_packages "$1")
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        packages="$packages $("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"
    # shellcheck disable=SC2086 # one word for each package
    [ -z "${packages# }" ] || install $packages
    make_venv "${2-}"
}

# Sets $python to the first that is new enough.
find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

missing_packages() {
    while read -r program package group; do
        case " $1 " in *" $group "*) ;; *) continue ;; esac
        command -v "$program" >/dev/null || printf ' %s' "$package"
    done <<EOF
$(grep -v '^#' "$root/deploy/packages")
EOF
}

install() {
    command -v apt-get >/dev/null ||
        fail 69 "These packages are missing, by their Debian names: $*" \
            "Without apt-get, please install them by hand."
    [ "$(id -u)" = 0 ] ||
        fail 77 "Some packages are missing, and only root can install them:" \
            "    sudo apt-get install -y $*"
    printf 'Installing %s\n' "$*" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt_get update && apt_get install -y --no-install-recommends "$@" ||
        fail 69 "apt-get could not install: $*"
}

# Quiet when all is well. Another apt-get may be at work: it is waited for.
apt_get() {
    log=$(mktemp)
    if apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
}

# In the checkout; where that cannot be written, in the user's cache, with a copy of the sources.
make_venv() {
    venv=$root/.venv source=$root
    if ! [ -w "$root" ] || { [ -e "$venv" ] && ! [ -w "$venv" ]; }; then
        copy_sources
    fi
    wanted=$(stamp)
    # The extra brings all that is wanted without it.
    for extra in "${1:-run}" dev; do
        [ "$(cat "$venv/.stamp-$extra" 2>/dev/null)" != "$wanted" ] || return 0
    done
    printf 'Setting up %s\n' "$venv" >&2
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        "$python" -m venv --clear "$venv" ||
        fail 73 "No virtual environment could be made in $venv."
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 5 \
        --editable "$source${1:+[$1]}" ||
        fail 69 "pip could not install the reconciler."
    printf '%s\n' "$wanted" >"$venv/.stamp-${1:-run}"
}

copy_sources() {
    cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/reconciler/$(printf %s "$root" | cksum | tr ' ' -)
    venv=$cache/venv source=$cache/source
    mkdir -p "$source" 2>/dev/null ||
        fail 73 "Neither $root nor $cache can be written: please set XDG_CACHE_HOME."
    rm -rf "$source/reconciler"
    cp -R "$root/reconciler" "$root/pyproject.toml" "$root/README.md" "$source"
}

# What the environment was made from.
stamp() {
    { "$python" --version; printf '%s\n' "$source"; cat "$root/pyproject.toml"; } | cksum
}
