#!/bin/sh
# The task of the test that boots the tree of 2015: what is there, NAME=VALUE a line.
say() { printf '%s=%s\n' "$1" "$2"; }

say root "$(awk '$2 == "/" { print $3; exit }' /proc/mounts)"
say hooks "$(ls /run/hooks-of-2015)"
say rc_local "$(ls /run/rc.local-by-hand)"
say vendor "$(/opt/example/flasher)"
say programs "$(for name in dmidecode lspci curl; do command -v "$name"; done | tr "\n" " ")"
say monorail "$(su monorail -c 'sudo -n id -u') $(getent passwd monorail | cut -d: -f7)"
say hosts "$(getent hosts monorail-micro | tr -s ' ')"
modprobe vfat && say module loaded
say booted_from "$(grep -o 'BOOTIF=[^ ]*' /proc/cmdline | tail -n 1)"
systemctl is-system-running --wait >/dev/null
say failed "$(systemctl --failed --plain --no-legend | cut -d' ' -f1 | tr '\n' ' ')"
