# shellcheck shell=dash
# What busybox cpio loses of an archive that it has just unpacked in this folder: who owns symlinks,
# and the times of symlinks and of folders, which every file that is made in them changes.
#
# The archive brings both along, see the program's steps/sidecar.py: links/TIME-OWNER-GROUP lists
# names, each closed by a zero byte; folders is an archive of all folders.
set -eu

sidecar=.on-imagebuilder
for list in "$sidecar"/links/*; do
    [ -f "$list" ] || continue
    name=${list##*/}
    time=${name%%-*}
    group=${name##*-}
    user=${name#*-}
    user=${user%-*}
    [ "$user:$group" = 0:0 ] || xargs -0 chown -h "$user:$group" <"$list"
    xargs -0 touch -h -d "@$time" <"$list"
done
[ ! -f "$sidecar/folders" ] || cpio -idmu <"$sidecar/folders"
