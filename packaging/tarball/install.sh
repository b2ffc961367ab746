#!/bin/sh
# Installs credagent on a machine whose packages are neither .deb nor .rpm, or in an image: below /usr, with its units,
# user, folders, manuals and completions. As root:
#   ./install.sh                 install, or upgrade what an earlier run has installed (a running agent is restarted)
#   ./install.sh --uninstall     remove it; /etc/credagent and /var/lib/credagent (this machine's key) stay
#   ./install.sh --purge         remove it and these two folders
# It needs a shell, coreutils, find, and systemd-sysusers or useradd; it downloads nothing.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
home=/usr/lib/credagent
list=$home/installed-files

fail() {
    echo "install.sh: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

under_systemd() { [ -d /run/systemd/system ]; }

remove_files() {
    [ -e "$list" ] || fail "nothing that this script installed is on this machine" "was it installed by dpkg or rpm? use that"
    while read -r path; do rm -f "/$path"; done <"$list"
    rm -rf "$home" /usr/share/doc/credagent /usr/share/credagent
}

install_files() {
    if [ -e "$list" ]; then
        remove_files
    elif [ -e "$home" ]; then
        fail "$home is there, and not from this script" "remove the package first: dpkg --remove credagent, or rpm --erase credagent"
    fi
    cp -R --preserve=mode,timestamps,links --no-dereference "$here/files/." /
    (cd "$here/files" && find . ! -type d | sed 's/^..//') >"$list"

    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers credagent.conf
    elif ! id credagent >/dev/null 2>&1; then
        useradd --system --no-create-home --home-dir /var/lib/credagent --shell /usr/sbin/nologin credagent
    fi
    # In an image /run gets no folder: whoever its containers run as makes one of its own, and a machine when it boots.
    if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create --prefix=/etc credagent.conf || true; fi
    if under_systemd; then
        systemd-tmpfiles --create credagent.conf || true
        systemctl daemon-reload
        systemctl try-restart credagent.service credagent-intercept.service # workers keep what they have; a stopped one stays stopped
    fi
    echo "credagent $("/usr/bin/credagent" --version | cut -d' ' -f2) is installed. Next: credagent trust PUB, then systemctl enable --now credagent"
}

uninstall() {
    if under_systemd; then
        systemctl --no-reload disable --now credagent-intercept.service credagent.socket credagent.service || true
    fi
    remove_files
    if under_systemd; then systemctl daemon-reload; fi
}

[ "$(id -u)" = 0 ] || fail "not root" "sudo $0 $*"
case ${1:-} in
    "") install_files ;;
    --uninstall) uninstall ;;
    --purge)
        uninstall
        rm -rf /var/lib/credagent /run/credagent /etc/credagent
        userdel credagent >/dev/null 2>&1 || true
        ;;
    *) fail "no such option: $1" "see the first lines of $0" ;;
esac
