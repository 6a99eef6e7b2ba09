#!/bin/bash
# Everything that a fresh machine needs, once: the servers that Debian carries, the Python environment from the lock, and
# the vision backbone. Quick when there is nothing to do. `make setup` calls it, and so does every target that needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
backbone=.eco2/models/vision.onnx
stamp=$venv/.set-up

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# The Debian packages that are missing, one a line.
missing_packages() {
    [ -x /usr/lib/postgresql/15/bin/postgres ] || echo postgresql-15
    compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server' >/dev/null || echo rabbitmq-server
    command -v redis-server >/dev/null || echo redis-server
    command -v setpriv >/dev/null || echo util-linux
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

find_python() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is missing; or use containers: docker compose up (compose.yaml)"
}

install_packages() {
    local other="or use containers: docker compose up (compose.yaml)" policy=/usr/sbin/policy-rc.d made_policy= package
    command -v apt-get >/dev/null || fail "missing: $*; this machine has no apt-get: install them by hand, $other"
    [ "$(id -u)" = 0 ] || fail "missing: $*; run \`sudo apt-get install $*\`, $other"
    say "installing $*"
    # A package would start its server on the standard port, beside or in place of what runs there.
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        made_policy=yes
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    if [ $made_policy ]; then
        rm -f $policy
        trap - EXIT
    fi
    # Nor at the next boot.
    if command -v systemctl >/dev/null; then
        for package in "$@"; do
            case $package in
                postgresql-15) systemctl disable --quiet postgresql || say "could not disable the unit postgresql" ;;
                *-server) systemctl disable --quiet "$package" || say "could not disable the unit $package" ;;
            esac
        done
    fi
}

make_environment() {
    say "making $venv from requirements.lock"
    [ -x $venv/bin/python ] || "$python" -m venv $venv
    # uv comes from the lock too, with its hashes.
    if ! $venv/bin/uv --version >/dev/null 2>&1; then
        local lock
        lock=$(mktemp)
        awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements.lock >"$lock"
        $venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
        rm -f "$lock"
    fi
    VIRTUAL_ENV=$venv $venv/bin/uv pip sync --quiet --require-hashes requirements.lock
    # The build backend is in the lock as well, so nothing is fetched that has no hash.
    VIRTUAL_ENV=$venv $venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
}

# With the folder: the scripts in an environment hold its path.
fingerprint() { { pwd && cat requirements.lock pyproject.toml stack/setup.sh; } | sha256sum; }

python=$(find_python)
mapfile -t missing < <(missing_packages)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
if [ ! -x $venv/bin/python ] || [ "$(cat $stamp 2>/dev/null)" != "$(fingerprint)" ]; then
    make_environment
    fingerprint >$stamp
fi
if [ ! -s $backbone ] || [ -n "$(find workers/ai \( -name '*.py' -o -name tuning.npz \) -newer $backbone)" ]; then
    say "building the vision backbone from the weights in its wheels"
    mkdir -p "$(dirname $backbone)"
    $venv/bin/python -m workers.ai.backbone $backbone >&2
    # It leaves a file of the same weights as it is.
    touch $backbone
fi
