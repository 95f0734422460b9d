# shellcheck shell=dash disable=SC2034,SC2154
# Kernel modules: the first few from plain files, all others from a squashfs that stays mounted and
# becomes a layer of the image, so that the booted system has the modules of the kernel that runs.

load_network_modules() {
    local module seen='' wanted
    while read -r module; do
        insmod "/early/$module" || fail NB-MODULE "the kernel does not take \`$module\`"
    done </early/order
    mkdir /layers/modules
    mount -t squashfs -o ro,loop /modules.squashfs /layers/modules ||
        fail NB-MODULE "the modules in the initrd cannot be mounted"
    modprobe -a overlay || fail NB-MODULE "the kernel does not take \`overlay\`"
    # A bus driver brings up devices that want drivers in turn: go on until nothing new appears.
    while wanted=$(network_aliases) && [ "$wanted" != "$seen" ]; do
        seen=$wanted
        # shellcheck disable=SC2086 # one word an alias
        modprobe -a -q $wanted 2>/dev/null
    done
}

# What network cards, and the virtual buses that carry some, ask modprobe for. Disks wait for
# the booted system: some of their controllers take half a minute to start.
network_aliases() {
    cat /sys/bus/pci/devices/*/modalias /sys/bus/virtio/devices/*/modalias \
        /sys/bus/vmbus/devices/*/modalias /sys/bus/acpi/devices/VMBUS*/modalias 2>/dev/null |
        grep -E '^(pci:.*bc02|virtio:d00000001|vmbus:|acpi:)' | sort -u
}
