# shellcheck shell=dash disable=SC2034,SC2154
# RAM: whether the image fits into this node's, before anything is fetched, and how much files may take.
#
# All files of the image live in /layers. With nb.zram= memory that is not in use is swapped into memory
# that is compressed: of files that is what nobody reads, be they of overlays or written later.

overlay_size='' zram_size=''
readonly RESERVE=96 # MB of RAM for the booted system's processes
readonly UNPACKED=4 # an overlay of which nobody said more takes about so many times its compressed size

check_memory() {
    local total available files zram overlays saved needed text
    read_memory
    files=$(bytes_of "$overlay_size")
    zram=$(bytes_of "$zram_size")
    [ "$zram" = 0 ] || start_zram "$zram"
    # What lies in /layers must also fit the size that /init gave it.
    [ "$available" -le $((total * 3 / 4)) ] || available=$((total * 3 / 4))
    overlays=$(bytes_of_overlays)
    # Files shrink to half of their size at least. A base does not: it is compressed.
    saved=$((overlays + files))
    [ "$saved" -le "$zram" ] || saved=$zram
    saved=$((saved / 2000000))
    needed=$(($(megabytes "$size_0") + $(megabytes "$overlays") + $(megabytes "$files") + RESERVE - saved))
    text="needs $needed MB of RAM (base $(megabytes "$size_0"), overlays $(megabytes "$overlays")"
    text="$text${overlay_size:+, files $(megabytes "$files")}, system $RESERVE"
    text="$text${zram_size:+, less $saved by zram})"
    text="$text; $(megabytes "$available") of $(megabytes "$total") MB can be had"
    [ "$needed" -le "$(megabytes "$available")" ] || fail NB-MEMORY "the image $text"
    phase memory "$text"
}

# Sets total and available, in bytes.
read_memory() {
    local key kilobytes _
    total=0 available=0
    while read -r key kilobytes _; do
        case $key in
        MemTotal:) total=$((kilobytes * 1024)) ;;
        MemAvailable:) available=$((kilobytes * 1024)) ;;
        esac
    done </proc/meminfo
}

# Of all overlays, unpacked; the file of each is there meanwhile.
bytes_of_overlays() {
    local number size unpacked sum=0
    for number in $(layers_from 1); do
        eval "size=\$size_$number unpacked=\${unpacked_$number-}"
        sum=$((sum + size + ${unpacked:-$((size * UNPACKED))}))
    done
    echo "$sum"
}

megabytes() { # BYTES
    echo $((($1 + 999999) / 1000000))
}

# What a size such as 512m or 50% (of RAM) is in bytes; 0 for none.
bytes_of() { # SIZE
    local number=${1%[kKmMgG%]}
    case $1 in
    '') echo 0 ;;
    *%) echo $((total * number / 100)) ;;
    *[kK]) echo $((number << 10)) ;;
    *[mM]) echo $((number << 20)) ;;
    *[gG]) echo $((number << 30)) ;;
    *) echo "$number" ;;
    esac
}

is_size() { # TEXT
    case ${1%[kKmMgG%]} in
    '' | 0* | *[!0-9]* | ?????????????*) return 1 ;;
    esac
    case $1 in ????*%) return 1 ;; esac
}

# The booted system goes on with it. Half of it at least is gained: /layers may grow by that.
start_zram() { # BYTES
    if ! grep -q '^/dev/zram0 ' /proc/swaps; then # else an earlier try to boot did it
        modprobe zram || fail NB-MODULE "the kernel does not take \`zram\`"
        echo "$1" >/sys/block/zram0/disksize
        { mkswap /dev/zram0 >/dev/null && swapon /dev/zram0; } ||
            fail NB-MEMORY "the kernel does not take \`nb.zram=$zram_size\`"
    fi
    mount -o "remount,size=$((total * 3 / 4 + $1 / 2))" /layers
}

# Sets files: the folder for what the booted system writes, a file system of its own where overlay_size= bounds it.
place_files() {
    local total available
    files=/layers
    [ "$overlay_size" ] || return 0
    files=/layers/files
    read_memory
    mkdir "$files"
    mount -t tmpfs -o "mode=0755,size=$(bytes_of "$overlay_size")" tmpfs "$files" ||
        fail NB-MEMORY "the kernel does not take \`overlay_size=$overlay_size\`"
}
