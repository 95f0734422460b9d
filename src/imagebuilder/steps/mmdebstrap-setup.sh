#!/bin/sh
# mmdebstrap's setup hook: show the build's apt lists and archives in the new root.
# usage: mmdebstrap-setup.sh CACHE ROOT
set -eu
mkdir -p "$2/var/lib/apt/lists" "$2/var/cache/apt/archives"
mount --bind "$1/lists" "$2/var/lib/apt/lists"
mount --bind "$1/archives" "$2/var/cache/apt/archives"
