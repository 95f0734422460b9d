# shellcheck shell=dash disable=SC2034,SC2154
# Which bytes may run: those that a signature covers, made with a key that this initrd was built with.
#
# /etc/imagebuilder/keys has one public key a line; without it this is an unsigned development initrd.
# /etc/imagebuilder/since is the time (seconds since 1970) before which no signature counts.
#
# A signature is minisign's. Its trusted comment, which is signed as well, has fields separated by
# tabs: timestamp:SECONDS, file:NAME and, if it does not hold for ever, expires:SECONDS.

readonly KEYS=/etc/imagebuilder/keys
readonly SINCE=/etc/imagebuilder/since
readonly SIGNED_LIMIT=1048576 # bytes of a manifest or of SHA256SUMS
readonly SIGNATURE_LIMIT=4096
SIGNED_TRIES=3 # a channel may move between a manifest and its signature; a mirror may be damaged

is_signed_mode() {
    [ -s "$KEYS" ]
}

# Once a boot, that nobody takes such a node for a safe one.
warn_of_unsigned_mode() {
    is_signed_mode || warn "UNSIGNED: this initrd trusts no keys; who is on its network decides what runs here"
}

# Fetches what is to be signed, under the NAME that its signature must have ("" for any) and with the
# SHA256 that it must have ("" for any), and its signature from beside it. Fails unless a trusted key
# signed it and it is of its time.
fetch_signed() { # FILE NAME SHA256 URL...
    local file=$1 name=$2 sha256=$3 try=1 url
    shift 3
    while :; do
        rm -f "$file" "$file.minisig"
        fetch "$file" 0 "$SIGNED_LIMIT" "$@" || fail "$problem_code" "$problem"
        ! has_digest "$file" "$sha256" || ! is_signed "$file" "$name" "$@" || return 0
        [ "$try" -lt "$SIGNED_TRIES" ] || fail "$problem_code" "$problem"
        say "$problem"
        try=$((try + 1))
        # The next server may know better.
        url=$1
        shift
        set -- "$@" "$url"
        sleep 1
    done
}

has_digest() { # FILE SHA256
    local found
    [ "$2" ] || return 0
    found=$(digest_of "$1")
    problem_code=NB-DIGEST problem="what was asked for as sha256:$2 has sha256 $found"
    [ "$found" = "$2" ]
}

is_signed() { # FILE NAME URL...
    local file=$1 name=$2 urls='' url
    shift 2
    is_signed_mode || return 0
    for url in "$@"; do urls="$urls $(signature_of "$url")"; done
    # shellcheck disable=SC2086 # one word a URL
    if ! fetch "$file.minisig" 0 "$SIGNATURE_LIMIT" $urls; then
        [ "$problem_code" != NB-NOT-FOUND ] || fail NB-UNSIGNED "nobody signed $1; $problem"
        fail "$problem_code" "$problem"
    fi
    is_trusted "$file" "${name:-the manifest}"
}

# A URL with .minisig behind its path.
signature_of() { # URL
    case $1 in
    *\?*) printf %s "${1%%\?*}.minisig?${1#*\?}" ;;
    *) printf %s "$1.minisig" ;;
    esac
}

# Whether FILE.minisig is of a trusted key for FILE under NAME, and of its time. Sets problem_code
# and problem when it is not.
is_trusted() { # FILE NAME
    local key fields='' field file='' timestamp='' expires='' now oldest
    problem_code=NB-SIGNATURE problem="$2 has no signature of a key that this initrd trusts"
    is_as_written "$1.minisig" || return 1
    while read -r key; do
        fields=$(minisign -Q -V -m "$1" -x "$1.minisig" -P "$key" 2>/dev/null) && break
        fields=''
    done <"$KEYS"
    [ "$fields" ] || return 1
    oldest=$(cat "$SINCE")
    [ "$oldest" -gt "$manifest_min" ] || oldest=$manifest_min
    set -f
    for field in $fields; do
        case $field in
        timestamp:*) timestamp=$(seconds_in "$field") ;;
        expires:*) expires=$(seconds_in "$field") ;;
        file:*) file=${field#*:} ;;
        esac
    done
    set +f
    if [ "$2" != 'the manifest' ] && [ "$file" != "$2" ]; then
        problem_code=NB-NAME problem="what was asked for as $2 was signed as ${file:-nothing}"
    elif [ "${timestamp:-0}" = 0 ] || [ "$expires" = 0 ]; then
        problem="the signature of $2 does not say its time"
    elif [ "$timestamp" -lt "$oldest" ]; then
        problem_code=NB-ROLLBACK problem="$2 was signed $(day "$timestamp"), before $(day "$oldest")"
    else
        now=$(date +%s)
        [ "$expires" ] && [ "$expires" -lt "$now" ] || return 0
        problem_code=NB-EXPIRED
        problem="the signature of $2 ended $(day "$expires"), and this node's clock says $(day "$now")"
    fi
    return 1
}

# Whether a signature file is to the letter what minisign writes: what is not signed in it (the first
# line, the last bits of base64) can be nothing else.
is_as_written() { # FILE
    local first body comment whole line
    {
        IFS= read -r first && IFS= read -r body && IFS= read -r comment && IFS= read -r whole && ! IFS= read -r line
    } <"$1" || return 1
    [ "$first" = 'untrusted comment: signature from minisign secret key' ] && [ -z "$line" ] || return 1
    for line in "$body" "$whole"; do
        [ "$(printf %s "$line" | base64 -d 2>/dev/null | base64 -w 0)" = "$line" ] || return 1
    done
}

# The number of `name:number`; 0 for what is none.
seconds_in() { # FIELD
    case ${1#*:} in
    '' | *[!0-9]* | ????????????*) echo 0 ;;
    *) echo "${1#*:}" ;;
    esac
}

day() { # SECONDS
    date -u -d "@$1" '+%Y-%m-%d %H:%M UTC'
}

# The sha256 of a file, in hex.
digest_of() { # FILE
    local line
    line=$(sha256sum "$1")
    printf %s "${line%% *}"
}
