# shellcheck shell=dash disable=SC2034,SC2154
# The kernel command line -> variables. Arguments that are not ours are left alone.

parse_arguments() { # COMMAND-LINE
    local word
    BASEFS='' OVERLAYFS='' MANIFEST='' API_CB='' SERVERS='' BOOTIF_MAC='' SYSLOGSERVER='' ip_argument=''
    on_fail=reboot manifest_min=0 REPORT='' TOKEN=''
    # As the kernel does: double quotes keep a word together and are no part of it.
    printf '%s\n' "$1" | awk '{
        for (i = 1; i <= length($0); i++) {
            c = substr($0, i, 1)
            if (c == "\"") quoted = !quoted
            else printf "%s", c ~ /[ \t]/ && !quoted ? "\n" : c
        }
        print ""
    }' >"$RUN/arguments"
    while IFS= read -r word; do
        # RackHD's templates write URLs as HTML does.
        while [ "$word" != "${word#*&amp;}" ]; do
            word="${word%%&amp;*}&${word#*&amp;}"
        done
        case $word in
        BASEFS=*) BASEFS=${word#*=} ;;
        OVERLAYFS=*) OVERLAYFS=${word#*=} ;;
        MANIFEST=*) MANIFEST=${word#*=} ;;
        API_CB=*) API_CB=${word#*=} ;;
        SERVERS=*) SERVERS=${word#*=} ;;
        BOOTIF=*) BOOTIF_MAC=$(normal_mac "${word#*=}") ;;
        SYSLOGSERVER=*) SYSLOGSERVER=${word#*=} ;;
        ip=*) ip_argument=${word#*=} ;;
        nb.onfail=*) on_fail=${word#*=} ;;
        nb.manifest_min=*) manifest_min=${word#*=} ;;
        nb.report=*) REPORT=${word#*=} ;;
        nb.token=*) TOKEN=${word#*=} ;;
        esac
    done <"$RUN/arguments"
    case $manifest_min in '' | *[!0-9]*) fail NB-ARGUMENT "\`nb.manifest_min=$manifest_min\` is no time in seconds" ;; esac
    case $REPORT in
    '' | http://*) ;;
    *) REPORT=http://$API_CB/${REPORT#/} ;;
    esac
}

# Lower case and colons, without the hardware type that boot loaders put in front of the six octets.
normal_mac() { # TEXT
    local mac
    mac=$(printf %s "$1" | tr A-F- a-f:)
    case $mac in ??:??:??:??:??:??:??) mac=${mac#??:} ;; esac
    printf %s "$mac"
}

# Sets urls: where an artifact can be fetched that is named by a URL, or by a path on the servers.
locate() { # NAME
    local path=$1 server
    urls=''
    case $path in
    http://*) urls=$path ;;
    *://*) fail NB-ARGUMENT "\`$path\` is no http:// address" ;;
    *)
        while [ "$path" != "${path#/}" ]; do path=${path#/}; done
        for server in $(printf %s "$API_CB,$SERVERS" | tr , ' '); do
            urls="$urls http://${server#http://}/$path"
        done
        urls=${urls# }
        [ "$urls" ] || fail NB-ARGUMENT "\`$path\` is a path, and neither API_CB= nor SERVERS= says on which server"
        ;;
    esac
}

# ip=CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTOCONF:DNS:DNS as in the kernel's
# Documentation/admin-guide/nfs/nfsroot.rst; CLIENT may also be ADDRESS/PREFIX. Sets address
# (ADDRESS/PREFIX, empty for DHCP), gateway, device and nameservers.
parse_ip() { # VALUE
    local PREFIX
    address='' gateway='' device='' nameservers=''
    IFS=:
    set -f
    # shellcheck disable=SC2086 # split at the colons, empty fields included
    set -- $1
    set +f
    unset IFS
    device=${6:-}
    case ${1:-} in
    *.*.*.*/*) address=$1 ;;
    *.*.*.*)
        eval "$(ipcalc -s -p "$1" "${4:-}")"
        address=$1/${PREFIX:-24}
        ;;
    *) return ;;
    esac
    gateway=${3:-}
    nameservers="${8:-} ${9:-}"
}
