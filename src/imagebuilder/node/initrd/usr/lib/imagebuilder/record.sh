# shellcheck shell=dash disable=SC2034,SC2154
# The flight recorder: what every phase took, for the server that nb.report= names.
#
# $RUN/record has one JSON object a line:
#     {"node":MAC,"manifest":DIGEST,"phase":NAME,"ms":UPTIME,"bytes":N,"retries":N,"code":NB-CODE,"detail":TEXT}
# Each delivery has all lines so far, so that the next one makes up for one that was lost. They are
# made in the background, one at a time; the boot waits for the last one alone, for a second at most.

BOOTIF_MAC='' manifest_digest='' REPORT='' address=''
readonly DELIVERY=5 # seconds that a delivery may take
readonly LAST_DELIVERY=1

record() { # PHASE MS CODE DETAIL
    printf '{"node":"%s","manifest":"%s","phase":"%s","ms":%s,"bytes":%s,"retries":%s,"code":"%s","detail":"%s"}\n' \
        "$BOOTIF_MAC" "$manifest_digest" "$1" "$2" "${bytes:-0}" "${retries:-0}" "$3" \
        "$(printf %s "$4" | tr -d '\\"\000-\037')" >>"$RUN/record"
    bytes=0 retries=0
    deliver_record
}

deliver_record() {
    [ "$REPORT" ] && [ "$address" ] && mkdir "$RUN/delivering" 2>/dev/null || return 0
    {
        local size=-1
        # What is recorded meanwhile goes with another delivery.
        while [ "$size" != "$(stat -c %s "$RUN/record")" ]; do
            size=$(stat -c %s "$RUN/record")
            cp "$RUN/record" "$RUN/delivery"
            post "$RUN/delivery" application/x-ndjson "$DELIVERY" || break
        done
        rmdir "$RUN/delivering"
    } >/dev/null 2>&1 &
}

# Waits for a delivery that is under way, but not long.
finish_record() {
    local tenths=$((LAST_DELIVERY * 10))
    while [ -e "$RUN/delivering" ] && [ "$tenths" -gt 0 ]; do
        usleep 100000
        tenths=$((tenths - 1))
    done
}

# The last 64 KB of the log of a node that cannot boot.
deliver_log() {
    [ "$REPORT" ] && [ "$address" ] || return 0
    finish_record
    dmesg | tail -c 65536 >"$RUN/log"
    post "$RUN/log" text/plain "$DELIVERY" >/dev/null 2>&1
}

post() { # FILE TYPE SECONDS
    timeout -s KILL "$3" "$wget" -q -O /dev/null --header "Content-Type: $2" --post-file "$1" "$REPORT"
}
