#!/bin/sh
# The task of the boot tests: looks around in a booted node and says what it finds, NAME=VALUE a line.
say() { printf '%s=%s\n' "$1" "$2"; }

logger -p local3.warning -t probe "hello from $(hostname)"

say root "$(awk '$2 == "/" { print $3; exit }' /proc/mounts)"
say layers "$(cat /sys/class/block/loop*/loop/backing_file 2>/dev/null | tr '\n' ' ')"
say upper "$(stat -f -c %T /layers/upper 2>/dev/null)"
say disks "$(lsblk -n -d -o NAME,TYPE | awk '$2 == "disk"')"
say hostname "$(hostname)"
say kernel "$(uname -r)"
say uid "$(id -u)"
say cwd "$PWD"

echo written >/survives && sync && echo 3 >/proc/sys/vm/drop_caches
say survives "$(cat /survives)"
say base_file "$(curl --version | head -n 1 | cut -d' ' -f1)"
say overlay_file "$(command -v dmidecode)"
modprobe vfat
say module "$(cut -d' ' -f1 /proc/modules | grep -x vfat)"

say addresses "$(ip -4 -br addr | tr -s ' \n' ' ')"
say links "$(ip -br link | awk '$1 ~ /^e/ { printf "%s:%s ", $3, $2 }')"
say booted_from "$(ip -4 -o addr show | awk '/10\.0\.2\./ { print $2 }' | while read -r nic; do cat "/sys/class/net/$nic/address"; done)"
say resolver "$(awk '$1 == "nameserver" { print $2; exit }' /etc/resolv.conf)"

say monorail "$(su monorail -c 'sudo -n id -u') $(getent passwd monorail | cut -d: -f7)"
say password "$(getent shadow monorail | cut -d: -f2)"
say folders "$(stat -c %a /opt/downloads /opt/uploads | tr '\n' ' ')"
say machine_id "$(wc -c </etc/machine-id)"
say hosts "$(getent hosts monorail-micro | tr -s ' ')"

# What comes up after the agent.
until [ -n "$(ss -Htln sport = 22)" ]; do sleep 0.5; done
say host_keys "$(cd /etc/ssh && echo ssh_host_*_key)"
systemctl is-system-running --wait >/dev/null
say failed "$(systemctl --failed --plain --no-legend | cut -d' ' -f1 | tr '\n' ' ')"
say state "$(systemctl is-system-running)"
sleep 1
