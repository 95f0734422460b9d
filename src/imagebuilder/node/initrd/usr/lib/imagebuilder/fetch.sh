# shellcheck shell=dash disable=SC2034,SC2154
# Files from the server into RAM, over HTTP with busybox wget.
#
# What wget does not do is done here: it hangs for ever on a server that falls silent (and its -T
# crashes in busybox 1.35), and where the server gives no length it takes half a file for a whole
# one. It does follow redirects, and its -c goes on where a broken transfer stopped.

readonly WGET_LOG=$RUN/wget.log # headers (indented) and errors of the last transfer
readonly FETCH_TRIES=8
STALL=20 # seconds without a byte; noticed after one to two times that

fetch() { # URL FILE
    wget_patiently "$1" "$2" -c -O "$2" || fail NB-NOT-FOUND "the server has no $1"
}

# Prints the length in bytes that the server gives for a file, 0 when it does not say.
remote_size() { # URL
    wget_patiently "$1" /dev/null --spider || fail NB-NOT-FOUND "the server has no $1"
    awk 'tolower($1) == "content-length:" { size = $2 } END { print size + 0 }' "$WGET_LOG"
}

# Calls wget until it succeeds. Returns 1 when the server says that there is no such file; fails
# when it says no otherwise or when FETCH_TRIES were in vain. The pauses grow, and differ from
# node to node, so that a server that comes back is not met by all of them at once.
wget_patiently() { # URL FILE ARGUMENTS...
    local url=$1 try=1 reason pause
    shift
    until wget_watched "$@" "$url"; do
        reason=$(grep -v '^ ' "$WGET_LOG" | tail -n 1)
        case $reason in
        *' HTTP/'*' 404'* | *' HTTP/'*' 410'*) return 1 ;;
        *' HTTP/'*' 4'*) fail NB-FETCH "$url: ${reason#wget: }" ;;
        esac
        reason="${reason:-no byte for $STALL s}, try $try of $FETCH_TRIES"
        [ "$try" -lt "$FETCH_TRIES" ] || fail NB-FETCH "$url: $reason"
        say "$url: $reason"
        pause=$((try < 4 ? try * try : 16))
        sleep "$pause.$(($(od -An -N1 -tu1 /dev/urandom) % 100))"
        try=$((try + 1))
    done
}

# Runs wget, and ends it when FILE stops growing.
wget_watched() { # FILE ARGUMENTS...
    local file=$1 download watcher status
    shift
    wget -q -S "$@" 2>"$WGET_LOG" &
    download=$!
    end_when_stalled "$download" "$file" >/dev/null &
    watcher=$!
    wait "$download"
    status=$?
    kill "$watcher" 2>/dev/null
    return "$status"
}

# Runs in the background; takes its sleep along when it is ended.
end_when_stalled() { # PID FILE
    local size last=-1
    trap 'kill $! 2>/dev/null; exit' TERM
    while sleep "$STALL" & wait $!; do
        size=$(stat -c %s "$2" 2>/dev/null)
        [ "${size:-0}" != "$last" ] || kill "$1"
        last=${size:-0}
    done
}
