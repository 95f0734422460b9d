#!/bin/sh
# mmdebstrap's customize hook: take the build's apt lists and archives away before the clean-up.
# usage: mmdebstrap-customize.sh ROOT
set -eu
umount "$1/var/lib/apt/lists" "$1/var/cache/apt/archives"
