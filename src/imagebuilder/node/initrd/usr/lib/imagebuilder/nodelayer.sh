# shellcheck shell=dash disable=SC2034,SC2154
# The layer of this node alone, nb.layer=: a few files that the boot server rendered when the node asked for its
# boot script. It lies on top of all others.
#
# No key of the build can have signed it. Its sha256, the last part of nb.layer=, came with the boot script; whether
# a node takes such a layer at all, the signed manifest says. It may hold folders and plain files, and nothing else:
# no setuid, no devices or whiteouts, no links, nothing of what overlays bring beside the image's own files.

node_layer='' # its number
readonly NODE_LAYER_LIMIT=1048576

add_node_layer() {
    local sha256=${NODE_LAYER##*/} url with_token=''
    node_layer=''
    [ "$NODE_LAYER" ] || return 0
    case $sha256 in *[!0-9a-f]*) sha256='' ;; esac
    [ "${#sha256}" = 64 ] || fail NB-ARGUMENT "\`nb.layer=$NODE_LAYER\` does not end in a sha256"
    if is_signed_mode && [ -z "$takes_node_layer" ]; then
        fail NB-NODE-LAYER "nb.layer= names a layer of the node's own, and what was signed does not say \`node_layer: true\`"
    fi
    locate "$NODE_LAYER"
    for url in $urls; do with_token="$with_token$url?token=$TOKEN "; done
    node_layer=$layer_count
    add_layer "the node's own layer" 0 "$sha256" "${with_token% }"
}

open_node_layer() { # NUMBER
    local folder=/layers/$1 strange path
    unpack "$1" gunzip -c
    strange=$(find_strange "$folder")
    [ -z "$strange" ] || fail NB-NODE-LAYER "the node's own layer has ${strange#"$folder"}, which is no plain file or folder"
    find "$folder" -type d >"$RUN/folders"
    while IFS= read -r path; do
        adopt_folder "$1" "${path#"$folder"}"
    done <"$RUN/folders"
}

# The first name that a node's own layer may not have; with a line's end in it, none could be worked with.
find_strange() { # FOLDER
    find "$1" '(' ! -type d ! -type f -o -perm /7000 -o -name '*
*' -o -path "$1/$SIDECAR" ')' -print | head -n 1
}

# A folder that is below as well stays as it is there: who made the layer knows no folder's owner and mode.
adopt_folder() { # NUMBER PATH
    local below
    for below in $(seq $(($1 - 1)) -1 0); do
        below=/layers/$below$2
        [ -e "$below" ] || [ -L "$below" ] || continue
        [ ! -c "$below" ] || return 0 # a whiteout: it is gone
        if [ ! -d "$below" ] || [ -L "$below" ]; then
            fail NB-NODE-LAYER "the node's own layer has a folder $2, which in the image is no folder"
        fi
        chown "$(stat -c %u:%g "$below")" "/layers/$1$2" && chmod "$(stat -c %a "$below")" "/layers/$1$2" &&
            touch -r "$below" "/layers/$1$2" && return 0
        fail NB-INTERNAL "the folder $2 cannot be made as it is below"
    done
}
