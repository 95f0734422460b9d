#!/bin/sh
# Kernel, initrd, base and discovery overlay as in 2015: cold_2015.sh FOLDER ARCHIVES
# Packages come from ARCHIVES, as far as apt finds them there.
# shellcheck disable=SC2016 # what is in single quotes is for another shell
set -eu
folder=$1 archives=$2
root=$folder/root
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | head -n 1)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
mkdir -p "$folder/upper" "$folder/work" "$folder/merged"
debootstrap --variant=minbase --cache-dir="$archives" bookworm "$root" "$mirror"
cp -ln "$archives"/*.deb "$root/var/cache/apt/archives/" 2>/dev/null || cp -n "$archives"/*.deb "$root/var/cache/apt/archives/"
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sort -u >"$root/etc/apt/sources.list"
in_root() {
    unshare --mount --pid --fork sh -c 'mount -t proc proc "$0/proc" && exec chroot "$@"' "$1" "$@"
}
cp /etc/resolv.conf "$root/etc/resolv.conf"
in_root "$root" apt-get -qq update
in_root "$root" apt-get -qq install --no-install-recommends -y systemd systemd-sysv udev kmod iproute2 \
    openssh-server ca-certificates curl jq sudo less vim-tiny
mksquashfs "$root" "$folder/base.img" -quiet -no-progress -e "$root/var/cache/apt/archives"
unshare --mount sh -c '
    mount -t overlay overlay -o "lowerdir=$1/root,upperdir=$1/upper,workdir=$1/work" "$1/merged"
    mount -t proc proc "$1/merged/proc"
    chroot "$1/merged" apt-get -qq install --no-install-recommends -y dmidecode lshw lsscsi pciutils usbutils ethtool \
        smartmontools hdparm nvme-cli gdisk ipmitool' sh "$folder"
(cd "$folder/upper" && find . | cpio -H newc -o --quiet | gzip) >"$folder/discovery.cpio.gz"
in_root "$root" apt-get -qq install --no-install-recommends -y initramfs-tools linux-image-amd64
