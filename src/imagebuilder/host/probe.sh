#!/bin/sh
# Tries in an empty folder what a build does to the machine: probe.sh FOLDER OVERLAY-OPTIONS
# Runs in a mount namespace of its own, so there is nothing to clean up.
set -eu

mount -t tmpfs probe "$1"
cd "$1"
mkdir lower upper work merged
echo content >lower/file
mount -t overlay probe -o "lowerdir=lower,upperdir=upper,workdir=work,volatile,$2" merged
rm merged/file
test -c upper/file # a whiteout
