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

phase() { # NAME DETAIL
    log 5 "phase=$1 ms=$(uptime_ms) detail=$2"
}

# Says why the node cannot boot, then does what nb.onfail= wants. Does so from a subshell too.
fail() { # CODE SENTENCE
    trap - EXIT
    log 3 "error=$1 ms=$(uptime_ms) detail=$2"
    case ${on_fail:-reboot} in
    shell)
        say "a shell, as nb.onfail=shell asks; the node restarts when it ends"
        setsid cttyhack sh
        ;;
    poweroff)
        sleep 1 # the last line is still on its way to the syslog server
        poweroff -f
        ;;
    *)
        say "the node restarts in 30 s; nb.onfail=shell or poweroff does that instead"
        sleep 30
        ;;
    esac
    reboot -f
    sleep 60 # what called us must not go on meanwhile
}
