# shellcheck shell=dash disable=SC2034,SC2154
# The kernel command line -> variables. Arguments that are not ours are left alone.

readonly NO_SIZE='is no size; 512m, 2g and 50% are some'

parse_arguments() { # COMMAND-LINE
    local word
    BASEFS='' OVERLAYFS='' MANIFEST='' API_CB='' SERVERS='' BOOTIF_MAC='' SYSLOGSERVER='' ip_argument=''
    on_fail=reboot manifest_min=0 REPORT='' TOKEN='' NODE_LAYER='' VLAN='' MTU='' cache_label=''
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
        nb.vlan=*) VLAN=${word#*=} ;;
        nb.mtu=*) MTU=${word#*=} ;;
        cache=*) cache_label=${word#*=} ;;
        overlay_size=*) overlay_size=${word#*=} ;;
        nb.zram=*) zram_size=${word#*=} ;;
        nb.onfail=*) on_fail=${word#*=} ;;
        nb.manifest_min=*) manifest_min=${word#*=} ;;
        nb.report=*) REPORT=${word#*=} ;;
        nb.token=*) TOKEN=${word#*=} ;;
        nb.layer=*) NODE_LAYER=${word#*=} ;;
        esac
    done <"$RUN/arguments"
    case $manifest_min in '' | *[!0-9]*) fail NB-ARGUMENT "\`nb.manifest_min=$manifest_min\` is no time in seconds" ;; esac
    is_between 1 4094 "${VLAN:-1}" || fail NB-ARGUMENT "\`nb.vlan=$VLAN\` is no VLAN; 1 to 4094 are"
    is_between 576 65535 "${MTU:-1500}" || fail NB-ARGUMENT "\`nb.mtu=$MTU\` is no MTU; 576 to 65535 are"
    [ -z "$overlay_size" ] || is_size "$overlay_size" || fail NB-ARGUMENT "\`overlay_size=$overlay_size\` $NO_SIZE"
    [ -z "$zram_size" ] || is_size "$zram_size" || fail NB-ARGUMENT "\`nb.zram=$zram_size\` $NO_SIZE"
    case $REPORT in
    '' | http://* | https://*) ;;
    *) REPORT=http://$API_CB/${REPORT#/} ;;
    esac
}

is_between() { # LEAST MOST TEXT
    case $3 in '' | 0* | *[!0-9]* | ??????*) return 1 ;; esac
    [ "$3" -ge "$1" ] && [ "$3" -le "$2" ]
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
    http://* | https://*) urls=$path ;;
    *://*) fail NB-ARGUMENT "\`$path\` is neither an http:// nor an https:// address" ;;
    *)
        while [ "$path" != "${path#/}" ]; do path=${path#/}; done
        for server in $(printf %s "$API_CB,$SERVERS" | tr , ' '); do
            case $server in http://* | https://*) ;; *) server=http://$server ;; esac
            urls="$urls $server/$path"
        done
        urls=${urls# }
        [ "$urls" ] || fail NB-ARGUMENT "\`$path\` is a path, and neither API_CB= nor SERVERS= says on which server"
        ;;
    esac
    case $urls in
    *https://*) [ -e "$AUTHORITIES" ] || fail NB-ARGUMENT "\`${urls}\`: this initrd was built without \`tls: true\`" ;;
    esac
}

# ip=CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTOCONF:DNS:DNS as in the kernel's
# Documentation/admin-guide/nfs/nfsroot.rst; CLIENT may also be ADDRESS/PREFIX, and IPv6 addresses stand
# in brackets. Sets method (static, dhcp, auto6, dhcp6, or any that works), address (ADDRESS/PREFIX,
# static only), gateway, device and nameservers.
parse_ip() { # VALUE
    local PREFIX
    address='' gateway='' device='' nameservers='' method=any
    IFS=';'
    set -f
    # shellcheck disable=SC2046 # split at the colons outside of brackets, empty fields included
    set -- $(printf %s "$1" | awk '{
        for (i = 1; i <= length($0); i++) {
            c = substr($0, i, 1)
            if (c ~ /[][]/) inside = c == "["
            else printf "%s", c == ":" && !inside ? ";" : c
        }
    }')
    set +f
    unset IFS
    device=${6:-}
    nameservers="${8:-} ${9:-}"
    case ${7:-${1:-}} in dhcp | auto6 | dhcp6) method=${7:-$1} ;; esac
    case ${1:-} in
    *.*.*.*/* | *:*/*) address=$1 ;;
    *:*) address=$1/${4:-64} ;;
    *.*.*.*)
        eval "$(ipcalc -s -p "$1" "${4:-}")"
        address=$1/${PREFIX:-24}
        ;;
    *) return ;;
    esac
    method=static
    gateway=${3:-}
}
