# shellcheck shell=dash disable=SC2034,SC2154
# What to boot, a manifest or layers by name; and how each layer gets here, and is checked.
#
# Layer 0 is the base, 1 and up are the overlays. Layer N has name_N, urls_N (where it can be fetched),
# size_N (bytes, 0 when nobody said) and sha256_N (hex, "" when nobody said); and, of an overlay, unpacked_N (bytes,
# "" when nobody said) and special_N (paths of its special files, "any" when nobody said). verity is what the manifest
# says of the base's hash tree, "BLOCKS ROOT", else "".

readonly ANY_SIZE=1099511627776
DIGEST_TRIES=3
readonly STORED=/blobs # what came with the initrd, by digest

find_layers() {
    layer_count=0 takes_node_layer='' verity=''
    warn_of_unsigned_mode
    if [ "$MANIFEST" ]; then
        layers_of_manifest
    else
        layers_by_name
    fi
    [ "$layer_count" -gt 0 ] || fail NB-MANIFEST "there is no base in $MANIFEST"
    add_node_layer
}

add_layer() { # NAME SIZE SHA256 URLS
    eval "name_$layer_count=\$1 size_$layer_count=\$2 sha256_$layer_count=\$3 urls_$layer_count=\$4"
    layer_count=$((layer_count + 1))
}

# MANIFEST= is a file on the server (its layers lie beside it under their titles), a digest, or a name
# (they are blobs, as in an OCI registry).
layers_of_manifest() {
    local wanted='' name='' file=$RUN/manifest kind digest size title unpacked special
    case $MANIFEST in
    sha256:*)
        wanted=${MANIFEST#sha256:}
        locate "blobs/sha256/$wanted"
        ;;
    */v2/*/manifests/*)
        name=${MANIFEST##*/v2/}
        name=${name%/manifests/*}.manifest.json
        case $MANIFEST in */manifests/sha256:*) wanted=${MANIFEST##*/manifests/sha256:} ;; esac
        locate "$MANIFEST"
        ;;
    */* | *.json)
        name=${MANIFEST%%\?*}
        name=${name##*/}
        locate "$MANIFEST"
        ;;
    *)
        name=${MANIFEST%%:*}.manifest.json
        case $MANIFEST in *:*) ;; *) MANIFEST=$MANIFEST:latest ;; esac
        locate "v2/${MANIFEST%%:*}/manifests/${MANIFEST#*:}"
        ;;
    esac
    # shellcheck disable=SC2086 # one word a URL
    fetch_signed "$file" "$name" "$wanted" $urls
    manifest_digest=sha256:$(digest_of "$file")
    awk -f /usr/lib/imagebuilder/manifest.awk "$file" >"$RUN/layers" ||
        fail NB-MANIFEST "$MANIFEST is no manifest of ours: $(tail -n 1 "$RUN/layers")"
    while read -r kind digest size title unpacked special; do
        case $layer_count:$kind in
        *:kernel.* | *:initrd.*) continue ;;
        *:!node-layer) takes_node_layer=yes && continue ;;
        0:base.* | [1-9]*:overlay.*) ;;
        *) fail NB-MANIFEST "$MANIFEST has $title, which is $kind, in a place where that cannot be" ;;
        esac
        add_layer "$title" "$size" "$digest" "$(urls_of_layer "$digest" "$title" "$urls")"
        case $kind:$unpacked in
        overlay.*squashfs:*) eval "unpacked_$((layer_count - 1))=0" ;; # mounted as it is
        base.*:?*) verity="$unpacked $special" ;;
        overlay.*:?*) eval "unpacked_$((layer_count - 1))=\$unpacked special_$((layer_count - 1))=\$special" ;;
        esac
    done <"$RUN/layers"
    phase manifest "$manifest_digest with $layer_count layers"
}

# Where the layer is that a manifest at URLS names.
urls_of_layer() { # SHA256 TITLE URLS
    local url
    for url in $3; do
        case $url in
        */v2/*/manifests/*) printf '%s ' "${url%/manifests/*}/blobs/sha256:$1" ;;
        */blobs/sha256/*) printf '%s ' "${url%/*}/$1" ;;
        *) url=${url%%\?*} && printf '%s ' "${url%/*}/$2" ;;
        esac
    done
}

# BASEFS= and OVERLAYFS=, with what the SHA256SUMS beside each of them says.
layers_by_name() {
    local name sums
    [ "$BASEFS" ] || fail NB-ARGUMENT "neither MANIFEST= nor BASEFS= says what to boot"
    set -f
    for name in "$BASEFS" $(printf %s "$OVERLAYFS" | tr , ' '); do
        set +f
        locate "$name"
        find_digest "$urls"
        # shellcheck disable=SC2086 # one word a URL
        ask_size $urls
        add_layer "$name" "$remote_size" "$digest" "$urls"
    done
    set +f
}

# Sets digest to what the SHA256SUMS beside a file on the servers says, "" if it does not name the file.
find_digest() { # URLS
    local url=${1%% *} sums sums_urls='' name
    for url in $1; do
        url=${url%%\?*}
        sums_urls="$sums_urls ${url%/*}/SHA256SUMS"
    done
    name=${url##*/}
    sums=$RUN/sums-$(printf %s "${url%/*}" | tr -c A-Za-z0-9 _)
    # shellcheck disable=SC2086 # one word a URL
    [ -e "$sums" ] || fetch_sums "$sums" $sums_urls
    digest=$(awk -v name="$name" '{ sub(/^[*]/, "", $2); sub(/^[.]\//, "", $2) } $2 == name { print $1; exit }' "$sums")
    [ "$digest" ] || ! is_signed_mode || fail NB-UNSIGNED "the signed SHA256SUMS beside $name does not name it"
}

# Once for all layers of a folder. An unsigned development initrd does without, which is an empty file.
fetch_sums() { # FILE URL...
    local file=$1
    shift
    if is_signed_mode; then
        fetch_signed "$file" SHA256SUMS '' "$@"
    elif ! fetch "$file" 0 "$SIGNED_LIMIT" "$@"; then
        [ "$problem_code" = NB-NOT-FOUND ] || fail "$problem_code" "$problem"
        : >"$file"
    fi
}

# All layers at the same time, each checked when it is here. Fails for the first that cannot be had.
fetch_layers() {
    local number jobs='' code sentence
    rm -f "$RUN"/failed-*
    for number in $(layers_from 0); do
        (
            layer_job=$number wget_log=$RUN/wget-$number.log
            fetch_layer "$number"
        ) &
        jobs="$jobs $!"
    done
    # shellcheck disable=SC2086 # one word a job
    wait $jobs
    for number in $(layers_from 0); do
        [ -e "$RUN/failed-$number" ] || continue
        read -r code sentence <"$RUN/failed-$number"
        fail "$code" "$sentence"
    done
}

fetch_layer() { # NUMBER
    local file=/layers/$1.file try=1 name size sha256 urls limit
    eval "name=\$name_$1 size=\$size_$1 sha256=\$sha256_$1 urls=\$urls_$1"
    if [ "$sha256" ] && use_stored "$sha256" "$file"; then
        phase digest "$name sha256:$sha256, which was here already"
        return
    fi
    [ "$size" = 0 ] && limit=$ANY_SIZE || limit=$size
    [ "$1" != "$node_layer" ] || limit=$NODE_LAYER_LIMIT
    while :; do
        # shellcheck disable=SC2086 # one word a URL
        fetch "$file" "$size" "$limit" $urls || fail "$problem_code" "$problem"
        bytes=$(size_of "$file")
        phase fetch "$bytes bytes $(without_query "${urls%% *}")"
        ! check_digest "$name" "$file" "$sha256" || return 0
        [ "$try" -lt "$DIGEST_TRIES" ] || fail NB-DIGEST "$problem"
        say "$problem; fetched again"
        try=$((try + 1))
        rm "$file"
        urls="${urls#* } ${urls%% *}" # the next server may have it right
    done
}

# A layer that came with the initrd, that an earlier try to boot left here, or that the cache has.
use_stored() { # SHA256 FILE
    local file
    for file in "$2" "$STORED/$1"; do
        if [ -f "$file" ] && [ "$(digest_of "$file")" = "$1" ]; then
            [ "$file" = "$2" ] || mv "$file" "$2"
            return 0
        fi
    done
    rm -f "$2"
    take_cached "$1" "$2"
}

check_digest() { # NAME FILE SHA256
    local found
    if [ -z "$3" ]; then
        phase digest "UNCHECKED $1: no SHA256SUMS beside it names it"
        return 0
    fi
    found=$(digest_of "$2")
    problem="$1 has sha256 $found, and should have $3"
    [ "$found" = "$3" ] || return 1
    phase digest "$1 sha256:$found"
}
