# shellcheck shell=dash disable=SC2034,SC2154
# The kernel command line -> variables. Arguments that are not ours are left alone.

parse_arguments() { # COMMAND-LINE
    local word
    BASEFS='' OVERLAYFS='' API_CB='' BOOTIF_MAC='' SYSLOGSERVER='' ip_argument='' on_fail=reboot
    set -f
    for word in $1; do
        # RackHD's templates write URLs as HTML does.
        while [ "$word" != "${word#*&amp;}" ]; do
            word="${word%%&amp;*}&${word#*&amp;}"
        done
        case $word in
        BASEFS=*) BASEFS=${word#*=} ;;
        OVERLAYFS=*) OVERLAYFS=${word#*=} ;;
        API_CB=*) API_CB=${word#*=} ;;
        BOOTIF=*) BOOTIF_MAC=$(normal_mac "${word#*=}") ;;
        SYSLOGSERVER=*) SYSLOGSERVER=${word#*=} ;;
        ip=*) ip_argument=${word#*=} ;;
        nb.onfail=*) on_fail=${word#*=} ;;
        esac
    done
    set +f
}

# Lower case and colons, without the hardware type that boot loaders put in front of the six octets.
normal_mac() { # TEXT
    local mac
    mac=$(printf %s "$1" | tr A-F- a-f:)
    case $mac in ??:??:??:??:??:??:??) mac=${mac#??:} ;; esac
    printf %s "$mac"
}

# The URL of an artifact that is named by a URL or by a path on the server.
url_of() { # NAME
    local path=$1
    case $path in
    http://*) printf %s "$path" ;;
    *://*) fail NB-ARGUMENT "\`$path\` is no http:// address" ;;
    *)
        [ "$API_CB" ] || fail NB-ARGUMENT "\`$path\` is a path, and API_CB= does not say on which server"
        while [ "$path" != "${path#/}" ]; do path=${path#/}; done
        printf %s "http://$API_CB/$path"
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
