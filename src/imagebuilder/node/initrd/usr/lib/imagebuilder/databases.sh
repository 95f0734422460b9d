# shellcheck shell=dash disable=SC2034,SC2154
# Databases of the system that several overlays changed, record by record: accounts, dpkg's, and the cache of
# libraries. The program's steps/databases.py tells how an overlay lists what it changed.

readonly MERGED=$RUN/databases # by their paths, as far as they are merged

# From the bottom up; what an overlay brings without a list counts as it is.
merge_databases() {
    local number turn changes list path cache_count=0
    mkdir -p "$MERGED"
    for number in $(layers_from 1); do
        changes=/layers/$number/$SIDECAR/changes
        forget_replaced "$number"
        [ -d "$changes" ] || continue
        for turn in $(cd "$changes" && printf '%s\n' * | sort -n); do
            find "$changes/$turn" -type f >"$RUN/lists"
            while IFS= read -r list; do
                path=${list#"$changes/$turn/"}
                case $path in
                cache/*) cache_count=$((cache_count + 1)) ;;
                *) merge_database "$number" "${path%%/*}" "${path#*/}" "$list" ;;
                esac
            done <"$RUN/lists"
        done
    done
    place_databases
    rm -rf "$MERGED" # with passwords in it, and /run is the booted system's
    # One of them has libraries that the others' cache does not know.
    [ "$cache_count" -lt 2 ] || chroot /newroot ldconfig -X ||
        fail NB-STACK "the cache of libraries cannot be made anew"
}

forget_replaced() { # NUMBER
    local path
    find "$MERGED" -type f >"$RUN/merged"
    while IFS= read -r path; do
        path=${path#"$MERGED/"}
        [ -e "/layers/$1/$path" ] || continue
        find "/layers/$1/$SIDECAR/changes" -path "*/$path" 2>/dev/null | grep -q . || rm "$MERGED/$path"
    done <"$RUN/merged"
}

merge_database() { # NUMBER KIND PATH LIST
    local layer below=$MERGED/$3
    if [ ! -f "$below" ]; then
        for layer in $(seq $(($1 - 1)) -1 0); do
            below=/layers/$layer/$3
            [ ! -e "$below" ] || break
        done
        [ -f "$below" ] || below=/dev/null # it is not there, or hidden
    fi
    mkdir -p "$MERGED/${3%/*}"
    if ! { awk -v kind="$2" -f /usr/lib/imagebuilder/merge.awk "$4" "$below" >"$RUN/database" && mv "$RUN/database" "$MERGED/$3"; }; then
        fail NB-STACK "what layer $1 changed in /$3 cannot be merged"
    fi
}

# What a merged file changes for the system is its content alone.
place_databases() {
    local path target time
    find "$MERGED" -type f >"$RUN/merged"
    while IFS= read -r path; do
        target=/newroot/${path#"$MERGED/"}
        if [ ! -f "$target" ] || [ -L "$target" ] || cmp -s "$path" "$target"; then continue; fi
        time=$(stat -c %Y "$target")
        if ! { cat "$path" >"$target" && touch -d "@$time" "$target"; }; then
            fail NB-STACK "${target#/newroot} cannot be written"
        fi
    done <"$RUN/merged"
}
