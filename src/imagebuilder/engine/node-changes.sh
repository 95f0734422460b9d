#!/bin/sh
# Run by root on a node that an initrd of ours booted: says what the node booted, and what was changed on it since.
#
#     node-changes.sh PATTERN...     of paths that are left out, each as it begins in tar: ./var/log
#
# On standard output: lines SHA256 NAME of the layers, the base's first; an empty line; the names of sockets, each
# closed by a zero byte, as one line of base64; a tar archive of the upperdir; END. Needs what every Debian base has.
set -eu
export LC_ALL=C
run=/run/imagebuilder

refuse() {
    printf 'refused: %s\n' "$1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || refuse 'who logs in is not root there'
[ -r "$run/boot.env" ] || refuse 'it has not booted an image of ours'
[ -r "$run/stack" ] || refuse 'its initrd is older than this verb: build that again, and boot the node with it'
grep -q " $run/changes/upper " /proc/mounts || refuse "its changes are not to be seen: $run/changes/upper is not mounted"

cat "$run/stack"
echo
cd "$run/changes/upper"
find . -type s -print0 | base64 -w 0
echo
for pattern; do
    set -- "$@" "--exclude=$pattern"
    shift
done
tar --create --file=- --format=posix --numeric-owner --sparse --xattrs --xattrs-include='*' \
    --anchored --wildcards-match-slash "$@" .
echo END
