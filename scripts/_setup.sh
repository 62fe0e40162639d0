# Sourced by the scripts beside it: where things are, how they speak, and the environments that they make on demand.
# An environment is fresh while its stamp (place, lock, pyproject.toml) is; then nothing here touches the network.
set -euo pipefail

# Set in some containers, it makes every process and every test worker compile the same sources again.
unset PYTHONDONTWRITEBYTECODE

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'; else dim='' red='' plain=''; fi
say() { printf '%s%s%s\n' "$dim" "$*" "$plain" >&2; }
die() {
  printf '%s%s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}

misuse() { # the script was called wrongly
  printf '%s%s (%s --help)%s\n' "$red" "$*" "scripts/${0##*/}" "$plain" >&2
  exit 2
}

# --help prints the comment at the head of the script.
help_text() { sed -n '2,${/^#/!q; s/^# \{0,1\}//p;}' "$0"; }
help_if_asked() {
  case "${1:-}" in -h | --help) help_text && exit 0 ;; esac
}

seconds_since() { # seconds_since EPOCHREALTIME
  local now=$EPOCHREALTIME
  awk -v a="${1/,/.}" -v b="${now/,/.}" 'BEGIN { printf "%.1f", b - a }'
}

# Runs a command; its output is shown only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    die "failed: $*"
  fi
  rm -f "$log"
}

find_python() {
  local name
  for name in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  die "Python 3.11 or newer is missing: install it (Debian: apt-get install python3 python3-venv) or set PYTHON=/path/to/python"
}

make_venv() { # make_venv DIR
  local python
  python=$(find_python)
  "$python" -m venv --clear "$1" >/dev/null 2>&1 ||
    die "$python cannot make a virtual environment: install its venv module (Debian: apt-get install python3-venv)"
}

# ensure server|dev|protos: brings .venv (server, dev) or .venv-protos up to its lock. dev holds all of server.
ensure() {
  local level=$1 dir="$root/.venv" lock="$root/requirements/$1.txt"
  [ "$level" != protos ] || dir="$root/.venv-protos"
  is_fresh "$level" && return
  if command -v flock >/dev/null; then # two scripts at once: the second waits, then finds it done
    exec 9>"$root/.venv.lock"
    flock 9
    is_fresh "$level" && exec 9>&- && return
  fi
  say "setting up ${dir##*/} for $level (up to a minute the first time)…"
  if [ "$(cat "$dir/place" 2>/dev/null)" != "$dir" ] || ! "$dir/bin/python" -c '' 2>/dev/null; then
    make_venv "$dir"
    echo "$dir" >"$dir/place"
  fi
  rm -f "$dir/stamp-$level"
  # The lock is whole: pip must not resolve anew. An old pip looks past a pin for an extra of it (coverage[toml]) and then
  # refuses any newer release for want of a hash.
  quietly "$dir/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$lock"
  if [ "$level" != protos ]; then
    quietly "$dir/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e "$root"
  fi
  quietly "$dir/bin/python" -m pip check --disable-pip-version-check
  stamp "$level" >"$dir/stamp-$level"
  [ "$level" != dev ] || stamp server >"$dir/stamp-server"
  exec 9>&-
}

stamp() {
  echo "$root"
  cat "$root/requirements/$1.txt"
  [ "$1" = protos ] || cat "$root/pyproject.toml"
}

is_fresh() {
  local dir="$root/.venv"
  [ "$1" != protos ] || dir="$root/.venv-protos"
  [ -x "$dir/bin/python" ] && stamp "$1" | cmp -s - "$dir/stamp-$1"
}
