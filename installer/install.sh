#!/bin/bash
# Installs Onggi from one signed file, on a host that needs no network, no pip and no python3-venv.
# Running it again changes only what is not yet as it should be; a version that does not run is
# taken back by itself.
set -euo pipefail

USAGE="usage: install.sh [--key release.pub] [--dry-run] [--root DIR] [--no-start] [--old-systemd] onggi-....bundle"
SERVICES=(onggi-keeper.service onggi-courier.service onggi-predict.service)
TRIAL_S=${ONGGI_TRIAL_S:-20}
# The first that knows RestrictAddressFamilies=none and NoExecPaths; older ones ignore them.
SYSTEMD_WANTED=249
# RDKit and the others are linked with these and bring none of them; a server often has no X11.
LIBRARIES=(libX11.so.6 libXext.so.6 libXrender.so.1 libexpat.so.1 libstdc++.so.6 libz.so.1)

# PACKAGED: the postinst of the .deb calls, so dpkg has laid units and the command where they belong.
BUNDLE='' ROOT='' DRY='' KEY='' NO_START='' WORK='' PACKAGED='' OLD_SYSTEMD=''

say() { printf 'install.sh: %s\n' "$*"; }
stop() { printf 'install.sh: %s\n' "$*" >&2; exit 78; }
usage() { echo "$USAGE" >&2; exit 2; }
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
      --dry-run) DRY=1 ;;
      --no-start) NO_START=1 ;;
      --old-systemd) OLD_SYSTEMD=1 ;;
      --packaged) PACKAGED=1 ;;
      --root) [ $# -ge 2 ] || usage; ROOT=${2%/}; shift ;;
      --key) [ $# -ge 2 ] || usage; KEY=$2; shift ;;
      -h | --help) echo "$USAGE"; exit 0 ;;
      -*) usage ;;
      *) [ -z "$BUNDLE" ] || usage; BUNDLE=$1 ;;
    esac
    shift
  done
  [ -n "$BUNDLE" ] || usage
}

check_inputs() {
  [ -f "$BUNDLE" ] || stop "There is no file $BUNDLE."
  [ -n "$DRY" ] || [ "$(id -u)" = 0 ] || stop "It makes users and units: run it as root, or try --dry-run."
  [ -z "$ROOT" ] || [[ $ROOT = /* ]] || stop "--root needs an absolute path."
  [ -n "$PACKAGED" ] || [ ! -e "$ROOT/usr/share/onggi/install.sh" ] ||
    stop "Onggi is here as a package: upgrade it with its .deb, or apt-get remove it first."
  command -v openssl >/dev/null || stop "openssl is missing, which checks the signature; install it."
}

# ---- What the file is: believed only once its signature and every hash are right --------------

pinned_key() { printf '%s' "$ROOT/etc/onggi/bundle-key.pem"; }

choose_key() {
  local pinned
  pinned=$(pinned_key)
  if [ -f "$pinned" ]; then
    [ -z "$KEY" ] || cmp -s "$KEY" "$pinned" ||
      stop "This host pinned another key when it was first installed. If the maker changed it, and
said so on another way than this file, remove $pinned and run this again."
    KEY=$pinned
  fi
  [ -n "$KEY" ] || stop "Name the key that signs bundles: --key release.pub. It is asked for once."
  [ -f "$KEY" ] || stop "There is no file $KEY."
}

fingerprint() { openssl pkey -pubin -in "$1" -outform DER 2>/dev/null | sha256sum | cut -c1-32 | sed 's/..../& /g'; }

unpack() {
  WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/onggi-install.XXXXXX")
  trap 'rm -rf "$WORK"' EXIT
  tar --extract --file "$BUNDLE" --directory "$WORK" --no-same-owner manifest manifest.sig 2>/dev/null ||
    stop "$BUNDLE is no bundle of Onggi, or it is damaged; copy it again."
  openssl dgst -sha256 -verify "$KEY" -signature "$WORK/manifest.sig" "$WORK/manifest" >/dev/null 2>&1 ||
    stop "The signature is not that of $KEY: do not install this file; ask who gave it to you."
  head -1 "$WORK/manifest" | grep -qx '# onggi-bundle/1' || stop "This bundle is newer than this install.sh; use the one inside it."
  VERSION=$(fact version) VARIANT=$(fact variant) PYTHON_WANTED=$(fact python) MACHINE=$(fact machine)
  [[ $VERSION =~ ^[0-9][A-Za-z0-9.+]*$ ]] || stop "The bundle names no version."
  tar --extract --file "$BUNDLE" --directory "$WORK" --no-same-owner || stop "$BUNDLE is damaged; copy it again."
  check_files
}

fact() { sed -n "s/^# $1: //p" "$WORK/manifest"; }

check_files() {
  local listed there
  (cd "$WORK" && sha256sum --check --strict --quiet manifest) >/dev/null 2>&1 ||
    stop "A file of the bundle is not what its manifest says; copy the bundle again."
  listed=$(grep -v '^#' "$WORK/manifest" | cut -c67- | sort)
  there=$(cd "$WORK" && find . -type f ! -name manifest ! -name manifest.sig -printf '%P\n' | sort)
  [ "$listed" = "$there" ] || stop "The bundle holds files that its manifest does not name; do not install it."
  [ -z "$(find "$WORK" ! -type f ! -type d)" ] || stop "The bundle holds links; do not install it."
}

# ---- The program ---------------------------------------------------------------------------------

find_python() {
  local name
  [ "$(uname -m)" = "$MACHINE" ] || stop "This bundle is for $MACHINE, and this host is $(uname -m)."
  for name in ${PYTHON:+"$PYTHON"} "/usr/bin/python$PYTHON_WANTED" "/usr/local/bin/python$PYTHON_WANTED" "python$PYTHON_WANTED"; do
    if "$name" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$PYTHON_WANTED')" 2>/dev/null; then
      INTERPRETER=$name
      check_interpreter
      return
    fi
  done
  stop "This bundle needs Python $PYTHON_WANTED, which this host does not have. $(how_to_get_python)"
}

# Prints `debian`, `rhel` or nothing.
family() {
  local ID='' ID_LIKE='' file=$ROOT/etc/os-release
  [ -r "$file" ] || file=/etc/os-release
  # shellcheck source=/dev/null
  [ ! -r "$file" ] || . "$file"
  case "$ID $ID_LIKE" in
    *rhel* | *fedora*) echo rhel ;;
    *debian* | *ubuntu*) echo debian ;;
  esac
}

how_to_get_python() {
  case $(family) in
    rhel) echo "Install it: dnf install python$PYTHON_WANTED" ;;
    debian) echo "Install it: apt-get install python$PYTHON_WANTED, or take the bundle for $(python3 -c 'import sys; print("Python %d.%d" % sys.version_info[:2])' 2>/dev/null || echo "this host's Python")." ;;
    *) echo "Install it, or name one: PYTHON=/path/to/python$PYTHON_WANTED install.sh ..." ;;
  esac
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

# What the bundle does not bring. An image's own libraries are not looked at.
check_host() {
  local version library missing=()
  [ -z "$ROOT" ] || return 0
  version=$({ systemctl --version 2>/dev/null || true; } | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge "$SYSTEMD_WANTED" ] || [ -n "$OLD_SYSTEMD" ] ||
    stop "This host has systemd ${version:-(none)}, and only $SYSTEMD_WANTED and newer hold all the walls between the
services. With --old-systemd it is installed all the same; onggi doctor then says which are missing."
  for library in "${LIBRARIES[@]}"; do
    "$INTERPRETER" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$library" 2>/dev/null || missing+=("$library")
  done
  [ -x /bin/kill ] || missing+=(/bin/kill)
  [ ${#missing[@]} = 0 ] || stop "This host lacks ${missing[*]}. $(how_to_get_libraries)"
}

how_to_get_libraries() {
  case $(family) in
    rhel) echo "Install: dnf install libX11 libXext libXrender expat libstdc++ zlib util-linux" ;;
    debian) echo "Install: apt-get install libx11-6 libxext6 libxrender1 libexpat1 libstdc++6 zlib1g procps" ;;
    *) echo "Install the packages that have them." ;;
  esac
}

# The mark is written last: a release without it is one that was interrupted.
install_release() {
  local release=$ROOT/opt/onggi/releases/$VERSION mark sum
  mark=$release/.installed-from
  sum=$(sha256sum <"$WORK/manifest" | cut -d' ' -f1)
  if [ -f "$mark" ] && [ "$(cat "$mark")" != "$sum" ]; then
    stop "Version $VERSION is installed from another bundle; give the new one another version."
  elif [ -f "$mark" ]; then
    say "Version $VERSION is installed already."
    return
  fi
  do_it rm -rf "$release"
  do_it mkdir -p "${release%/*}"
  do_it "$INTERPRETER" -m venv --without-pip "$release"
  do_it with_pip "$release"
  do_it cp -r "$WORK/systemd" "$WORK/config_templates" "$WORK/sbom.cdx.json" "$WORK/manifest" "$WORK/onggi.1" "$release/"
  do_it install -m 0755 "$WORK/install.sh" "$WORK/uninstall.sh" "$release/bin/"
  [ -z "$ROOT" ] || do_it forget_root "$release"
  [ -n "$DRY" ] || { printf '%s\n' "$sum" >"$mark"; sync -f "$mark"; }
}

# pip runs out of its own wheel; it compiles what it installs, since nobody can write there later.
with_pip() {
  local wheels=("$WORK"/wheels/*.whl) pip
  pip=$(echo "$WORK"/wheels/pip-*.whl)
  "$1/bin/python" "$pip/pip" install --quiet --no-index --no-deps --no-cache-dir --disable-pip-version-check \
    --root-user-action=ignore "${wheels[@]}"
}

# pip wrote where it installed to into each script's first line.
forget_root() {
  grep -rlIF "$ROOT/opt/onggi" "$1/bin" "$1/pyvenv.cfg" | xargs -r sed -i "s|$ROOT/opt/onggi|/opt/onggi|g"
}

point_current_to() {
  do_it ln -sfn "releases/$1" "$ROOT/opt/onggi/current.new"
  do_it mv -T "$ROOT/opt/onggi/current.new" "$ROOT/opt/onggi/current"
}

# The command and its manual page.
install_command() {
  local command=$ROOT/usr/local/bin/onggi page=$ROOT/usr/local/share/man/man1/onggi.1
  # The package has its own; those of an installation before it would go stale.
  [ -z "$PACKAGED" ] || { do_it rm -f "$command" "$page"; return; }
  do_it mkdir -p "${command%/*}" "${page%/*}"
  do_it ln -sfn /opt/onggi/current/bin/onggi "$command"
  do_it ln -sfn /opt/onggi/current/onggi.1 "$page"
}

# To go back to, the version before stays; older ones would fill the disk.
remove_older() {
  local release
  [ -n "$BEFORE" ] && [ "$BEFORE" != "$VERSION" ] || return 0
  for release in "$ROOT"/opt/onggi/releases/*; do
    case ${release##*/} in "$BEFORE" | "$VERSION") ;; *) do_it rm -rf "$release" ;; esac
  done
}

# ---- Users, folders, templates, units --------------------------------------------------------------

place() { [ -n "$PACKAGED" ] || do_it install -D -m 0644 "$1" "$ROOT/$2"; }

install_users_and_folders() {
  local from=$1
  place "$from/systemd/onggi.sysusers" usr/lib/sysusers.d/onggi.conf
  place "$from/systemd/onggi.tmpfiles" usr/lib/tmpfiles.d/onggi.conf
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
    do_it cp "$WORK/config_templates/$template" "$target"
    do_it chmod 0640 "$target"
  done
  # An example only: a policy without a signature beside it would let nothing leave.
  target=$ROOT/etc/onggi/policy.toml.example
  do_it cp "$WORK/config_templates/policy.toml" "$target"
  do_it chmod 0640 "$target"
  [ -f "$(pinned_key)" ] || do_it install -m 0644 "$KEY" "$(pinned_key)"
}

install_units() {
  local unit from=$1
  for unit in "$from"/systemd/*.service "$from"/systemd/*.socket; do
    place "$unit" "usr/lib/systemd/system/$(basename "$unit")"
  done
  enable_new_services
  ! live || do_it systemctl daemon-reload
}

# What the version before had, and somebody disabled since, stays disabled.
enable_new_services() {
  local service
  for service in "${SERVICES[@]}"; do
    [ -e "$ROOT/opt/onggi/releases/$BEFORE/systemd/$service" ] ||
      do_it systemctl ${ROOT:+"--root=$ROOT"} --quiet enable "$service"
  done
}

live() { [ -z "$ROOT" ] && [ -d /run/systemd/system ]; }

# ---- How the keys rest ------------------------------------------------------------------------------

# What seals the files of the keys, for this host alone. It is made after the trial: what would be
# put back else may be a version that cannot read them. The services use it from their next start on.
make_credentials() {
  local folder=/etc/onggi/credentials
  live || return 0
  if ! command -v systemd-creds >/dev/null; then
    say "The keys rest as plain files (0400): systemd $(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p') is older than 250."
    return
  fi
  make_credential "$folder/onggi-keys.cred" onggi-keys /var/lib/onggi/keys
  make_credential "$folder/onggi-courier-keys.cred" onggi-courier-keys /var/lib/onggi/courier
}

make_credential() {
  local file=$1 name=$2 keys=$3
  [ ! -e "$file" ] || return 0
  if grep -rqs --include='*.key' '^onggi-key-v3 ' "$keys"; then
    say "$file is missing, and the keys in $keys were sealed with it: put it back, or move them away and enrol anew." >&2
  elif do_it seal_random "$file" "$name"; then
    return 0
  else
    say "systemd-creds made no $file: the keys rest as plain files (0400)." >&2
  fi
}

seal_random() {
  (
    set -o pipefail
    umask 077
    head -c 32 /dev/urandom | SYSTEMD_LOG_LEVEL=err systemd-creds encrypt --with-key=host --name="$2" - "$1.new"
  ) && sync -f "$1.new" && mv -T "$1.new" "$1"
}

# ---- The trial ----------------------------------------------------------------------------------------

# What ran before runs the new version, or the old one is put back: also when it dies at its start.
restart_or_return() {
  local before=$1 running
  live && [ -z "$NO_START$DRY" ] || return 0
  running=$(systemctl list-units --plain --no-legend --state=active,activating 'onggi-*.service' | cut -d' ' -f1)
  [ -n "$running" ] || return 0
  # shellcheck disable=SC2086  # one word a unit
  systemctl restart $running || true
  # shellcheck disable=SC2086
  if stays_up $running; then
    return 0
  fi
  if [ -z "$before" ] || [ "$before" = "$VERSION" ]; then
    stop "The services do not stay up: journalctl -u 'onggi-*' says why."
  fi
  say "Version $VERSION does not stay up; version $before is put back."
  local old=/opt/onggi/releases/$before
  PACKAGED='' # dpkg's units are those of the version that failed
  point_current_to "$before"
  install_users_and_folders "$old"
  install_units "$old"
  # shellcheck disable=SC2086
  systemctl reset-failed $running 2>/dev/null || true
  # shellcheck disable=SC2086
  systemctl restart $running
  stop "Version $before runs again. Why $VERSION did not: journalctl -u 'onggi-*' --since -5min"
}

# For TRIAL_S seconds every unit is active and none starts anew.
stays_up() {
  local unit second restarts
  declare -A restarts
  sleep 1
  for unit in "$@"; do restarts[$unit]=$(systemctl show -P NRestarts "$unit"); done
  for ((second = 0; second < TRIAL_S; second++)); do
    for unit in "$@"; do
      [ "$(systemctl show -P NRestarts "$unit")" = "${restarts[$unit]}" ] || return 1
      case $(systemctl show -P ActiveState "$unit") in active | activating) ;; *) return 1 ;; esac
    done
    sleep 1
  done
  for unit in "$@"; do systemctl is-active --quiet "$unit" || return 1; done
}

say_what_is_next() {
  if [ -n "$DRY" ]; then
    say "This was a dry run: nothing was changed."
  elif [ -e "$ROOT/var/lib/onggi/trust/enrolment.json" ]; then
    say "Onggi $VERSION is installed; this silo is enrolled already."
  else
    say "Onggi $VERSION ($VARIANT) is installed, signed by $(fingerprint "$(pinned_key)"). Next, as root:"
    cat <<'NEXT'
  1. edit /etc/onggi/onggi.toml, then: onggi check-config
  2. onggi enroll --token TOKEN
  3. systemd-tmpfiles --create onggi.conf     (gives the new keys to their processes)
  4. systemctl start onggi-keeper onggi-courier onggi-predict
NEXT
  fi
  [ "$VARIANT" != predict-only ] || say "This variant predicts; it cannot read assays or train."
}

parse_arguments "$@"
check_inputs
umask 022
choose_key
unpack
find_python
check_host
BEFORE=$(basename "$(readlink "$ROOT/opt/onggi/current" || true)")
install_release
install_users_and_folders "$WORK"
install_templates
install_units "$WORK"
point_current_to "$VERSION"
install_command
restart_or_return "$BEFORE"
remove_older
make_credentials
say_what_is_next
