#!/bin/sh
# Run a program as if on another machine: another host name, another umask, one processor alone.
# usage: unshare --uts elsewhere.sh PROCESSOR PROGRAM [ARGUMENT...]
set -eu
processor=$1
shift
hostname another-machine
umask 077
exec taskset --cpu-list "$processor" "$@"
