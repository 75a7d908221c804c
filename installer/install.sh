#!/bin/bash
# Installs Onggi from a wheel and its lock: a virtual environment of its own, users, folders,
# units and templates. Running it again changes only what is not yet as it should be.
set -euo pipefail

USAGE="usage: install.sh [--with-torch] [--dry-run] [--root DIR] onggi-VERSION-py3-none-any.whl"
HERE=$(cd "$(dirname "$0")/.." && pwd)
LOCK=$HERE/installer/runtime-lock.txt
TORCH=torch==2.13.0
SERVICES=(onggi-keeper.service onggi-courier.service onggi-predict.service)

WHEEL='' ROOT='' DRY='' WITH_TORCH=''

say() { printf 'install.sh: %s\n' "$*"; }
stop() { printf 'install.sh: %s\n' "$*" >&2; exit 78; }
do_it() {
  if [ -n "$DRY" ]; then
    printf 'would run: %s\n' "$*"
  else
    "$@"
  fi
}

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --with-torch) WITH_TORCH=1 ;;
      --dry-run) DRY=1 ;;
      --root)
        [ $# -ge 2 ] || { echo "$USAGE" >&2; exit 2; }
        ROOT=${2%/}
        shift
        ;;
      -h | --help) echo "$USAGE"; exit 0 ;;
      -*) echo "$USAGE" >&2; exit 2 ;;
      *)
        [ -z "$WHEEL" ] || { echo "$USAGE" >&2; exit 2; }
        WHEEL=$1
        ;;
    esac
    shift
  done
  [ -n "$WHEEL" ] || { echo "$USAGE" >&2; exit 2; }
}

check_inputs() {
  [ -f "$WHEEL" ] || stop "There is no file $WHEEL; build it with 'pip wheel --no-deps .'."
  [[ $(basename "$WHEEL") =~ ^onggi-([0-9][A-Za-z0-9.+]*)-py3-none-any\.whl$ ]] ||
    stop "$WHEEL is not named like a wheel of Onggi; give it its own name back."
  VERSION=${BASH_REMATCH[1]}
  [ -f "$LOCK" ] || stop "$LOCK is missing; run install.sh from a whole copy of the sources."
  [ -n "$DRY" ] || [ "$(id -u)" = 0 ] || stop "It makes users and units: run it as root, or try --dry-run."
  [ -z "$ROOT" ] || [[ $ROOT = /* ]] || stop "--root needs an absolute path."
}

find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 python3; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      INTERPRETER=$name
      check_interpreter
      return
    fi
  done
  stop "No Python of version 3.11 or newer with venv was found; install python3.11 (on Debian and
Ubuntu also python3-venv), or name one: PYTHON=/path/to/python3.11 install.sh ..."
}

# The services cannot see homes (ProtectHome=yes), so an interpreter that lives there is no use.
check_interpreter() {
  local real
  real=$("$INTERPRETER" -c 'import os, sys; print(os.path.realpath(sys.executable))')
  case $real in
    /root/* | /home/* | /run/user/*)
      [ -n "$DRY$ROOT" ] || stop "$real is in a home, which the services cannot see; install
a Python of the system, or name one with PYTHON=..."
      ;;
  esac
}

# The mark is written last: a release without it is one that was interrupted.
install_release() {
  local release=$ROOT/opt/onggi/releases/$VERSION mark python sum
  mark=$release/.installed-from python=$release/bin/python
  sum=$(sha256sum <"$WHEEL" | cut -d' ' -f1)
  if [ -f "$mark" ] && [ "$(cat "$mark")" != "$sum" ]; then
    stop "Version $VERSION is installed from another wheel; give the new one another version."
  elif [ -f "$mark" ]; then
    say "Version $VERSION is installed already."
    add_torch "$python"
    return
  fi
  do_it rm -rf "$release"
  do_it mkdir -p "${release%/*}"
  do_it "$INTERPRETER" -m venv "$release"
  add_torch "$python"
  do_it "$python" -m pip install --quiet --no-deps --require-hashes -r "$LOCK"
  do_it "$python" -m pip install --quiet --no-deps "$WHEEL"
  do_it "$python" -m compileall -q "$release/lib"
  [ -z "$ROOT" ] || do_it forget_root "$release"
  [ -n "$DRY" ] || printf '%s\n' "$sum" >"$mark"
}

# pip wrote where it installed to into each script's first line.
forget_root() {
  grep -rlIF "$ROOT/opt/onggi" "$1/bin" "$1/pyvenv.cfg" | xargs -r sed -i "s|$ROOT/opt/onggi|/opt/onggi|g"
}

# By version and not by hash: each build of torch (CPU, CUDA) has hashes and dependencies of its own.
add_torch() {
  [ -n "$WITH_TORCH" ] || return 0
  local index=()
  [ -z "${TORCH_INDEX:-}" ] || index=(--index-url "$TORCH_INDEX")
  do_it "$1" -m pip install --quiet "${index[@]}" "$TORCH"
}

point_current() {
  do_it ln -sfn "releases/$VERSION" "$ROOT/opt/onggi/current.new"
  do_it mv -T "$ROOT/opt/onggi/current.new" "$ROOT/opt/onggi/current"
  do_it mkdir -p "$ROOT/usr/local/bin"
  do_it ln -sfn /opt/onggi/current/bin/onggi "$ROOT/usr/local/bin/onggi"
}

install_users_and_folders() {
  do_it install -D -m 0644 "$HERE/systemd/onggi.sysusers" "$ROOT/usr/lib/sysusers.d/onggi.conf"
  do_it install -D -m 0644 "$HERE/systemd/onggi.tmpfiles" "$ROOT/usr/lib/tmpfiles.d/onggi.conf"
  [ -z "$ROOT" ] || do_it mkdir -p "$ROOT/etc"
  do_it systemd-sysusers ${ROOT:+"--root=$ROOT"} onggi.conf
  do_it systemd-tmpfiles ${ROOT:+"--root=$ROOT"} --create onggi.conf
}

install_templates() {
  local template target
  for template in onggi.toml profile.toml; do
    target=$ROOT/etc/onggi/$template
    if [ -e "$target" ]; then
      say "$target is kept as it is."
      continue
    fi
    # The folder's setgid bit hands on the group that may read it.
    do_it cp "$HERE/config_templates/$template" "$target"
    do_it chmod 0640 "$target"
  done
  # An example only: a policy without a signature beside it would let nothing leave.
  target=$ROOT/etc/onggi/policy.toml.example
  do_it cp "$HERE/config_templates/policy.toml" "$target"
  do_it chmod 0640 "$target"
}

install_units() {
  local unit
  for unit in "$HERE"/systemd/*.service; do
    do_it install -D -m 0644 "$unit" "$ROOT/usr/lib/systemd/system/$(basename "$unit")"
  done
  do_it systemctl ${ROOT:+"--root=$ROOT"} --quiet enable "${SERVICES[@]}"
  if [ -z "$ROOT" ] && [ -d /run/systemd/system ]; then
    do_it systemctl daemon-reload
    do_it systemctl try-restart "${SERVICES[@]}" 'onggi-reader@*.service'
  fi
}

say_what_is_next() {
  if [ -n "$DRY" ]; then
    say "This was a dry run: nothing was changed."
  elif [ -e "$ROOT/var/lib/onggi/trust/enrolment.json" ]; then
    say "Onggi $VERSION is installed; this silo is enrolled already."
  else
    say "Onggi $VERSION is installed. Next, as root:"
    cat <<'NEXT'
  1. edit /etc/onggi/onggi.toml, then: onggi check-config
  2. onggi enroll --token TOKEN
  3. systemd-tmpfiles --create onggi.conf     (gives the new keys to their processes)
  4. systemctl start onggi-keeper onggi-courier onggi-predict
NEXT
  fi
  [ -n "$WITH_TORCH" ] || say "Without --with-torch this host predicts, but it cannot train."
}

parse_arguments "$@"
check_inputs
umask 022
find_python
install_release
point_current
install_users_and_folders
install_templates
install_units
say_what_is_next
