#!/bin/sh
# Tries in an empty folder what a build does to the machine: probe.sh overlay|loop FOLDER
# Runs in a mount namespace of its own, so there is nothing to clean up.
set -eu

mount -t tmpfs probe "$2"
cd "$2"
mkdir lower upper work merged
echo content >lower/file

case $1 in
overlay)
    mount -t overlay probe \
        -o lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off merged
    rm merged/file
    test -c upper/file # a whiteout
    ;;
loop)
    mksquashfs lower image -quiet -no-progress >/dev/null
    mount -t squashfs -o ro,loop image merged
    cmp lower/file merged/file
    ;;
esac
