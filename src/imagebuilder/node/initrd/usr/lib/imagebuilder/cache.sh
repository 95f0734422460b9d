# shellcheck shell=dash disable=SC2034,SC2154
# Layers on a local disk, cache=LABEL: what an earlier boot fetched need not come over the network again.
#
# The file system has on-imagebuilder/HEX, a layer by its sha256. Nothing there is believed: a layer is
# copied into RAM and checked there, like one that was fetched. A disk that is missing, full or broken
# costs time, and no boot.

readonly DISK_WAIT=15 # seconds for a disk to show up
readonly CACHED=/cache/on-imagebuilder

open_cache() {
    [ "$cache_label" ] || return 0
    mkdir -p /cache
    if mount_cache && mkdir -p "$CACHED"; then
        rm -f "$CACHED"/.*.part # of a boot that was cut off
    else
        say "there is no cache: no file system called \`$cache_label\` that can be mounted"
        cache_label=''
    fi
}

mount_cache() {
    local device
    # shellcheck disable=SC2046 # one word an alias
    modprobe -a -q $(disk_aliases) sd_mod ext4 vfat 2>/dev/null
    device=$(wait_for "$DISK_WAIT" findfs "LABEL=$cache_label" 2>/dev/null) || return 1
    mount -o nodev,nosuid,noexec,noatime "$device" /cache 2>/dev/null
}

# Disk controllers, and disks of virtual machines.
disk_aliases() {
    cat /sys/bus/pci/devices/*/modalias /sys/bus/virtio/devices/*/modalias /sys/bus/vmbus/devices/*/modalias 2>/dev/null |
        grep -E '^(pci:.*bc01|virtio:d00000002|virtio:d00000008|vmbus:)' | sort -u
}

# Copies a layer into RAM, if the cache has it and it is whole.
take_cached() { # SHA256 FILE
    [ "$cache_label" ] && [ -f "$CACHED/$1" ] || return 1
    if cp "$CACHED/$1" "$2" 2>/dev/null && [ "$(digest_of "$2")" = "$1" ]; then return 0; fi
    rm -f "$2" "$CACHED/$1"
    return 1
}

# Keeps the layers, all of which were checked, for the next boot; not the node's own, which may have secrets.
close_cache() {
    local number sha256
    [ "$cache_label" ] || return 0
    for number in $(layers_from 0); do
        eval "sha256=\$sha256_$number"
        [ "$number" != "$node_layer" ] || continue
        if [ -z "$sha256" ] || [ -f "$CACHED/$sha256" ] || keep_layer "/layers/$number.file" "$sha256"; then continue; fi
        forget_others
        keep_layer "/layers/$number.file" "$sha256" || say "there is no room for layer $number in the cache"
    done
    umount /cache
}

# On the disk before it has its name.
keep_layer() { # FILE SHA256
    if cp "$1" "$CACHED/.$2.part" 2>/dev/null && sync && mv "$CACHED/.$2.part" "$CACHED/$2"; then return 0; fi
    rm -f "$CACHED/.$2.part"
    return 1
}

# Removes all that this boot does not need.
forget_others() {
    local file number sha256 needed
    for file in "$CACHED"/*; do
        needed=''
        for number in $(layers_from 0); do
            eval "sha256=\$sha256_$number"
            [ "${file##*/}" != "$sha256" ] || needed=yes
        done
        [ "$needed" ] || rm -f "$file"
    done
}
