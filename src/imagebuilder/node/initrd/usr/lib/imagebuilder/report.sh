# shellcheck shell=dash disable=SC2034,SC2154
# What the node says: one stable line a phase, one line with a code for a failure.
#
#     nb: phase=NAME ms=UPTIME detail=TEXT
#     nb: error=NB-CODE ms=UPTIME detail=SENTENCE
#
# They go to the kernel log: whole lines on every console, sent on by syslog, and later in the
# journal of the booted system. `imagebuilder boot` reads them.

# Milliseconds since the kernel started.
uptime_ms() {
    local up _
    read -r up _ </proc/uptime
    # The 1 before the hundredths keeps 08 from being read as an octal number.
    echo $((${up%.*} * 1000 + 1${up#*.} * 10 - 1000))
}

# The kernel's levels: 5 shows unless the command line has `quiet`, 3 always.
log() { # LEVEL TEXT
    printf '<%s>nb: %s\n' "$1" "$2" >/dev/kmsg
}

say() { # TEXT
    log 5 "$1"
}

# In red on every console.
warn() { # TEXT
    log 3 "$(printf '\033[1;31m%s\033[0m' "$1")"
}

phase() { # NAME DETAIL
    local ms
    ms=$(uptime_ms)
    log 5 "phase=$1 ms=$ms detail=$2"
    record "$1" "$ms" '' "$2"
}

# Says why the node cannot boot, then does what nb.onfail= wants. Of several layers that are
# fetched side by side, each leaves its reason to the one program that waits for them.
fail() { # CODE SENTENCE
    local ms pause=30
    trap - EXIT
    if [ "${layer_job:-}" ]; then
        printf '%s %s\n' "$1" "$2" >"$RUN/failed-$layer_job"
        exit 1
    fi
    ms=$(uptime_ms)
    log 3 "error=$1 ms=$ms detail=$2"
    record error "$ms" "$1" "$2"
    deliver_log
    case ${on_fail:-reboot} in
    shell)
        say "a shell, as nb.onfail=shell asks; the node restarts when it ends"
        setsid cttyhack sh
        pause=0
        ;;
    ssh) serve_ssh ;;
    poweroff)
        sleep 1 # the last line is still on its way to the syslog server
        poweroff -f
        ;;
    retry)
        say "the node tries again in $pause s"
        sleep "$pause"
        exec /init again
        ;;
    reboot:*[!0-9]* | reboot:) ;;
    reboot:*) pause=${on_fail#*:} ;;
    esac
    say "the node restarts in $pause s; nb.onfail=retry, shell, ssh or poweroff does that instead"
    sleep "$pause"
    reboot -f
    sleep 60 # what called us must not go on meanwhile
}
