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
    mount_squashfs 0
    for number in $(layers_from 1); do
        open_overlay "$number"
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
