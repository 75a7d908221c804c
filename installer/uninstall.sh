#!/bin/bash
# Takes Onggi off this host: the program and its units; with --purge also the configuration, the
# state with its keys, and the users. This very file is the .deb's prerm and postrm, too: a postrm
# finds no other file of its package.
set -euo pipefail

USAGE="usage: uninstall.sh [--purge --yes]"
UNITS=(onggi-keeper.service onggi-courier.service onggi-predict.service)
USERS=(onggi-keeper onggi-courier onggi-predict onggi-reader)
PURGE='' YES=''

say() { printf 'uninstall.sh: %s\n' "$*"; }
stop() { say "$*" >&2; exit 78; }

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --purge) PURGE=1 ;;
      --yes) YES=1 ;;
      -h | --help) echo "$USAGE"; exit 0 ;;
      *) echo "$USAGE" >&2; exit 2 ;;
    esac
    shift
  done
  [ "$(id -u)" = 0 ] || stop "Run it as root."
  [ ! -e /usr/share/onggi/install.sh ] || stop "Onggi is here as a package: apt-get remove onggi, or apt-get purge onggi."
  if [ -n "$PURGE" ] && [ -z "$YES" ]; then
    say "--purge removes this silo's keys, ledger and models for ever: say --purge --yes." >&2
    exit 2
  fi
}

stop_services() {
  [ -d /run/systemd/system ] || return 0
  systemctl stop 'onggi-*.socket' 'onggi-*.service' 2>/dev/null || true
  systemctl --quiet disable "${UNITS[@]}" 2>/dev/null || true
  local reader
  for reader in /etc/systemd/system/*.wants/onggi-reader@*.service; do
    [ ! -L "$reader" ] || rm -f "$reader"
  done
}

remove_program() {
  rm -f /usr/lib/systemd/system/onggi-*.{service,socket} /etc/systemd/system/*.wants/onggi-*.service
  rm -f /usr/lib/tmpfiles.d/onggi.conf /usr/local/bin/onggi /usr/local/share/man/man1/onggi.1
  # On many hosts the folder was made for this page.
  rmdir /usr/local/share/man/man1 2>/dev/null || true
  # The latter only where an install.sh was killed.
  rm -rf /opt/onggi /var/tmp/onggi-install.*
  [ ! -d /run/systemd/system ] || { systemctl daemon-reload; systemctl reset-failed 'onggi-*.service' 2>/dev/null || true; }
}

remove_state() {
  local user
  rm -rf /var/lib/onggi /etc/onggi /etc/systemd/system/onggi-*.service.d
  for user in "${USERS[@]}"; do
    ! getent passwd "$user" >/dev/null || userdel "$user"
    ! getent group "$user" >/dev/null || groupdel "$user"
  done
  ! getent group onggi >/dev/null || groupdel onggi
  rm -f /usr/lib/sysusers.d/onggi.conf
}

# dpkg says which of its scripts this is; while upgrading, the services run on until install.sh
# has the new version whole.
as_maintainer_script() {
  case "$DPKG_MAINTSCRIPT_NAME ${1:-}" in
    "prerm remove") stop_services ;;
    "postrm remove") remove_program ;;
    "postrm purge") purge_after_dpkg ;;
  esac
}

# Since the package was removed, somebody may have installed from a bundle: that silo is in use.
purge_after_dpkg() {
  if [ -e /opt/onggi/current ]; then
    say "Onggi was installed anew without the package; nothing of it is removed."
  else
    remove_state
  fi
}

if [ "${DPKG_MAINTSCRIPT_PACKAGE:-}" = onggi ]; then
  as_maintainer_script "$@"
  exit 0
fi
parse_arguments "$@"
stop_services
remove_program
if [ -n "$PURGE" ]; then
  remove_state
  say "Nothing of Onggi is left but its lines in the journal."
else
  say "The program is gone. /etc/onggi and /var/lib/onggi are kept: installing again goes on from there."
fi
