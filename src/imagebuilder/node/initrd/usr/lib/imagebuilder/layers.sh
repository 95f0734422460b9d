# shellcheck shell=dash disable=SC2034,SC2154
# The layers of the image, stacked.
#
# Layer 0 is the base, 1 and up are the overlays. The file of layer N is /layers/N.file, what it holds
# is in /layers/N. Each overlay is unpacked on its own and the kernel stacks them: only so do
# whiteouts, and a folder in the place of a file, mean for the overlays below what they mean for the base.

upper='' # where the booted system's own files are
readonly STANDALONE=redirect_dir=off,metacopy=off,index=off
readonly SIDECAR=.on-imagebuilder # what an overlay brings for us, beside the image's own files

# The layers' numbers from FIRST to the last.
layers_from() { # FIRST
    seq "$1" $((layer_count - 1))
}

stack_layers() {
    local number files lower=/layers/modules:/layers/0
    mount_base
    for number in $(layers_from 1); do
        if [ "$number" = "$node_layer" ]; then open_node_layer "$number"; else open_overlay "$number"; fi
        lower=/layers/$number:$lower
        [ -e "/layers/$number/$SIDECAR/attributes" ] || continue
        mount_attributes "$number"
        lower=/layers/$number.attributes:$lower
    done
    place_files
    upper=$files/upper
    mkdir "$upper" "$files/work"
    # A device node in a layer opens nothing: /dev is the kernel's own. And what is written stands by itself,
    # whatever the kernel's defaults: `imagebuilder capture` makes an overlay of it.
    mount -t overlay -o "nodev,$STANDALONE,lowerdir=$lower,upperdir=$upper,workdir=$files/work" overlay /newroot ||
        fail NB-MOUNT "the layers cannot be stacked: $lower"
    merge_databases
    rm -rf "/newroot/$SIDECAR"
}

# With a hash tree behind it the kernel checks each block of the base when it reads it. What is not right cannot be
# read: an error of input and output.
mount_base() {
    local blocks root loop name
    if [ -z "${verity-}" ]; then
        mount_squashfs 0
        return
    fi
    blocks=${verity%% *} root=${verity#* }
    command -v dmsetup >/dev/null ||
        fail NB-VERITY "the base is to be checked when it is read, and this initrd was built without \`verity: true\`"
    loop=$(losetup -f)
    name=base-${loop##*/}
    if ! { losetup -r "$loop" /layers/0.file && modprobe dm-verity && dmsetup create --readonly --noudevsync --table \
        "0 $((blocks * 8)) verity 1 $loop $loop 4096 4096 $blocks $blocks sha256 $root -" "$name"; } 2>"$RUN/dmsetup.log"; then
        fail NB-VERITY "the base cannot be opened with its hash tree: $(tail -n 1 "$RUN/dmsetup.log")"
    fi
    mkdir /layers/0
    # Names below /dev/mapper are udev's to make.
    mount -t squashfs -o ro "/dev/dm-$(dmsetup info -c --noheadings -o minor "$name")" /layers/0 ||
        fail NB-VERITY "the base is not what its hash tree says, or no squashfs that this kernel can mount"
}

# For another try to boot.
close_base() {
    local path name
    for path in /sys/block/dm-*/dm/name; do
        name=$(cat "$path" 2>/dev/null)
        case $name in
        base-*) dmsetup remove --deferred --noudevsync "$name" && losetup -d "/dev/${name#base-}" ;;
        esac
    done
}

mount_squashfs() { # NUMBER
    mkdir "/layers/$1"
    mount -t squashfs -o ro,loop "/layers/$1.file" "/layers/$1" ||
        fail NB-MOUNT "layer $1 is no squashfs that this kernel can mount"
}

# The overlay's files that have attributes which its format cannot carry, once more and with them.
mount_attributes() { # NUMBER
    mkdir "/layers/$1.attributes"
    mount -t erofs -o ro,loop "/layers/$1/$SIDECAR/attributes" "/layers/$1.attributes" ||
        fail NB-MOUNT "the attributes of layer $1 are no EROFS that this kernel can mount"
    refuse_unlisted "$1" "/layers/$1.attributes" ! -type d
}

# What an overlay is, its first bytes say, not its name. (busybox zcat ends well on a file that is
# cut short; gunzip does not.)
open_overlay() { # NUMBER
    case $(head -c 4 "/layers/$1.file" | hexdump -v -e '1/1 "%02x"') in
    68737173) mount_squashfs "$1" ;;
    1f8b*) unpack "$1" gunzip -c ;;
    28b52ffd) unpack "$1" zstd -dcq ;;
    fd377a58) unpack "$1" unxz -c ;;
    30373037) unpack "$1" cat ;;
    *) fail NB-FORMAT "layer $1 is neither a squashfs nor a cpio archive" ;;
    esac
}

unpack() { # NUMBER DECOMPRESSOR...
    local number=$1 log=$RUN/cpio.log
    shift
    command -v "$1" >/dev/null || fail NB-FORMAT "layer $number wants \`$1\`, which this initrd lacks"
    mkdir "/layers/$number"
    enter_jail "/layers/$number"
    # The pipe is read to its end: who finds it closed, be it with nothing left to write, dies of that.
    # shellcheck disable=SC3040 # busybox has it; without it an archive that is cut would pass
    if ! (set -o pipefail && "$@" <"/layers/$number.file" | { in_jail cpio -idmu && cat >/dev/null; } &&
        in_jail sh /usr/lib/imagebuilder/restore.sh) 2>"$log"; then
        fail NB-UNPACK "layer $number cannot be unpacked: $(grep -v ' blocks$' "$log" | tail -n 1)"
    fi
    leave_jail
    rm "/layers/$number.file"
    # Without any permission a character device is a whiteout.
    refuse_unlisted "$number" "/layers/$number" '(' -type f -perm /6000 -o -type b -o -type c ! -perm 0 ')'
}

# What the manifest says of an overlay that is unpacked, it says to whoever signs it: nothing else that find's TESTS
# find may be in it.
refuse_unlisted() { # NUMBER FOLDER TEST...
    local number=$1 folder=$2 special name found
    eval "special=\${special_$number-any}"
    [ "$special" != any ] || return 0
    shift 2
    for name in $special; do
        case $name in
        *%*) name=$(printf %b "$(printf %s "$name" | sed 's/%/\\x/g')" | sed 's/[][*?\\]/\\&/g') ;;
        esac
        set -- "$@" ! -path ".$name"
    done
    found=$(cd "$folder" && find . "$@" | head -n 1)
    [ -z "$found" ] ||
        fail NB-UNLISTED "layer $number has ${found#.}: setuid, a device or with attributes, and not in the manifest"
}

# cpio follows `..` and symlinks out of the folder where it unpacks. So it runs in a root where
# nothing but that folder, seen as /layers, can be written: such an archive is an error, and no harm.
enter_jail() { # FOLDER
    if ! { mount --bind / /jail && mount -o remount,bind,ro /jail && mount --bind "$1" /jail/layers; }; then
        fail NB-INTERNAL "there is no place to unpack in"
    fi
}

in_jail() { # PROGRAM ARGUMENTS...
    # shellcheck disable=SC2016
    chroot /jail sh -c 'cd /layers && exec "$@"' sh "$@"
}

leave_jail() {
    umount /jail/layers
    umount /jail
}
