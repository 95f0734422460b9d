#!/bin/sh
# Run on a node as a task: what the machine is made of, as one JSON object on standard output.
# A tool that the image lacks, or that fails, leaves null.
set -u

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Keeps what a program says, if it is JSON.
value() { # NAME PROGRAM...
    name=$1
    shift
    "$@" 2>/dev/null | jq --compact-output . >"$folder/$name" 2>/dev/null
    [ -s "$folder/$name" ] || echo null >"$folder/$name"
}

# Keeps the text that a program says.
words() { # NAME PROGRAM...
    name=$1
    shift
    "$@" 2>/dev/null | jq --raw-input --slurp 'if . == "" then null else . end' >"$folder/$name"
}

# Firmware's own words, one `name value` a line.
dmi() {
    for file in /sys/class/dmi/id/*; do
        case $file in */modalias | */uevent) continue ;; esac
        [ -f "$file" ] || continue
        printf '%s %s\n' "${file##*/}" "$(cat "$file" 2>/dev/null)"
    done | jq --raw-input --slurp 'split("\n") | map(select(. != "") | capture("^(?<key>[^ ]+) (?<value>.*)$")) | from_entries'
}

memory() { awk '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 }' /proc/meminfo; }

value dmi dmi
value memory memory
value cpu lscpu --json
value disks lsblk --json --bytes --nodeps --output NAME,TYPE,SIZE,MODEL,SERIAL,ROTA,TRAN,WWN
value cards ip -json address
value lshw lshw -json -quiet
words pci lspci -nn -vmm
words neighbours networkctl lldp --full --no-legend --no-pager
[ ! -e /dev/ipmi0 ] || words ipmi ipmitool lan print
[ -e "$folder/ipmi" ] || echo null >"$folder/ipmi"

cd "$folder" || exit
for name in *; do
    jq --arg name "$name" '{($name): .}' "$name"
done | jq --slurp --compact-output add
