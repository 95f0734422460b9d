# shellcheck shell=dash disable=SC2034,SC2154
# Files from the servers into RAM, over HTTP with busybox wget, or with GNU wget, which an initrd for
# HTTPS has in its place.
#
# What wget does not do is done here: it hangs for ever on a server that falls silent (and its -T
# crashes in busybox 1.35), and where the server gives no length it takes half a file for a whole
# one. It does follow redirects, its -c goes on where a broken transfer stopped, and begins anew
# where a server does not care for that.

readonly AUTHORITIES=/etc/imagebuilder/ca.pem # whose HTTPS servers are trusted; without it there is no HTTPS
# Statically linked, busybox's shell runs its own wget unless the other is named by its path. That one, when
# quiet, keeps even errors to itself; its wgetrc makes it quiet enough.
[ -e "$AUTHORITIES" ] && wget=/usr/bin/wget quiet='' || wget=wget quiet=-q

wget_log=$RUN/wget.log # headers (indented) and errors of the last transfer

STALL=10        # seconds without a byte, after which a transfer is given up
BACKOFF=30      # seconds, the longest pause that grows by itself
RETRY_AFTER=120 # seconds, the longest pause that a server may ask for
ROUNDS=10       # through all servers without one byte; about four minutes

# Fetches FILE from the first of the URLs that gives it. What must come is SIZE bytes, if that is
# not 0, and never more than LIMIT. As long as bytes come, be it a few at a time, it goes on where it
# stopped. Sets retries. Returns 1 with the reason in problem_code and problem.
fetch() { # FILE SIZE LIMIT URL...
    local file=$1 size=$2 limit=$3 most=0 refused=0 try=0 status now all pause url
    shift 3
    all=$#
    retries=0
    while :; do
        url=$1
        shift
        set -- "$@" "$url"
        download "$url" "$file" "$limit" && status=0 || status=$?
        now=$(size_of "$file")
        [ "$now" -le "$limit" ] || rm -f "$file"
        if [ "$size" = 0 ]; then
            [ "$status" != 0 ] || [ "$now" -gt "$limit" ] || return 0
        elif [ "$now" = "$size" ]; then
            return 0
        fi
        retries=$((retries + 1))
        understand "$url"
        if [ "$now" -gt "$most" ] && [ "$now" -le "$limit" ]; then
            most=$now try=0 refused=0
            # Where it broke off it goes on at once; one that fell silent comes last.
            [ "$status" -gt 128 ] || while [ "$1" != "$url" ]; do set -- "$@" "$1" && shift; done
            continue
        fi
        try=$((try + 1))
        [ "$refusal" ] && refused=$((refused + 1)) || refused=0
        [ "$refused" -lt "$all" ] && [ "$try" -lt $((all * ROUNDS)) ] || return 1
        say "$problem"
        [ "$((try % all))" != 0 ] || pause_before_round $((try / all))
    done
}

# A URL as it may be shown: what is behind its path may be a token.
without_query() { # URL
    printf %s "${1%%\?*}"
}

size_of() { # FILE
    stat -c %s "$1" 2>/dev/null || echo 0
}

# What the last transfer's log says: sets problem_code and problem; refusal if it makes no sense to
# ask this server again; retry_after, if the server wants so many seconds.
understand() { # URL
    local answer
    refusal='' retry_after=0 problem_code=NB-FETCH
    # The words of GNU wget (DATE TIME ERROR 404: Not Found.) become those of busybox.
    answer=$(grep -v '^ ' "$wget_log" | sed -n '$ { s/^wget: //; s/^[-0-9]* [:0-9]* ERROR \(.*\): /server: HTTP\/1.1 \1 /; p; }')
    case $answer in
    *' HTTP/'*' 404'* | *' HTTP/'*' 410'*) refusal=yes problem_code=NB-NOT-FOUND ;;
    *' HTTP/'*' 416'*) rm -f "$file" ;; # what is here is no beginning of what is there
    *' HTTP/'*' 408'* | *' HTTP/'*' 425'* | *' HTTP/'*' 429'*) ;;
    *' HTTP/'*' 4'* | *'too many redir'* | *'redirections exceeded'*) refusal=yes ;;
    *certificate*) refusal=yes problem_code=NB-TLS ;;
    '')
        answer="no byte for $STALL s"
        if [ "$now" -gt "$limit" ]; then
            answer="more than $limit bytes"
            [ "$size" != 0 ] || refusal=yes
        elif [ "$status" = 0 ]; then
            answer='a part only'
        fi
        ;;
    esac
    case $answer in
    *' HTTP/'*' 503'* | *' HTTP/'*' 429'*)
        retry_after=$(awk 'tolower($1) == "retry-after:" { n = $2 } END { print n + 0 }' "$wget_log")
        [ "$retry_after" -ge 0 ] && [ "$retry_after" -le "$RETRY_AFTER" ] || retry_after=$RETRY_AFTER
        ;;
    esac
    problem="$(without_query "$1"): $answer"
    [ "$size" = 0 ] || problem="$problem ($now of $size bytes)"
}

# The pauses double, and differ from node to node, so that a server that comes back is not met by
# all of them at once.
pause_before_round() { # NUMBER
    local longest=$(($1 < 6 ? 1 << $1 : BACKOFF)) random
    random=$(($(od -An -N2 -tu2 /dev/urandom)))
    [ "$longest" -le "$BACKOFF" ] || longest=$BACKOFF
    # From half of it to all of it, in hundredths.
    pause=$((retry_after * 100 + longest * 50 + longest * 50 * random / 65536))
    sleep "$((pause / 100)).$((pause / 10 % 10))$((pause % 10))"
}

# Runs wget once, and ends it when FILE stops growing or has more than LIMIT bytes.
download() { # URL FILE LIMIT
    local transfer watcher status
    (
        ulimit -f $(($3 / 512 + 1))
        # shellcheck disable=SC2086 # an option or none
        exec "$wget" $quiet -S -c --header 'Accept: application/vnd.oci.image.manifest.v1+json, */*' -O "$2" "$1"
    ) 2>"$wget_log" &
    transfer=$!
    end_when_stalled "$transfer" "$2" >/dev/null 2>&1 &
    watcher=$!
    wait "$transfer" 2>/dev/null
    status=$?
    kill "$watcher" 2>/dev/null
    return "$status"
}

# Runs in the background; takes its sleep along when it is ended.
end_when_stalled() { # PID FILE
    local size last=-1 idle=0
    trap 'kill $! 2>/dev/null; exit' TERM
    while [ "$idle" -lt "$STALL" ]; do
        sleep 1 &
        wait $!
        size=$(size_of "$2")
        [ "$size" = "$last" ] && idle=$((idle + 1)) || idle=0
        last=$size
    done
    kill "$1"
}

# Sets remote_size: the length in bytes that the first server gives that has the file, 0 if none says.
ask_size() { # URL...
    local url
    remote_size=0
    for url in "$@"; do
        timeout "$STALL" "$wget" -q -S --spider "$url" 2>"$wget_log" || continue
        remote_size=$(awk 'tolower($1) == "content-length:" { size = $2 } END { print size + 0 }' "$wget_log")
        return
    done
}
