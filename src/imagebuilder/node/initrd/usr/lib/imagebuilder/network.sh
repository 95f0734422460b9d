# shellcheck shell=dash disable=SC1090,SC2034,SC2154
# From network cards to an address: sets nic, address (ADDRESS/PREFIX), gateway, nameservers, domain, mtu.

export LEASE=$RUN/lease   # udhcpc.script writes it
NIC_WAIT=15    # seconds for a driver to show its card
LINK_WAIT=40   # seconds for a cable to be heard: 10GBASE-T takes ten, some switches thirty
DHCP_PAUSE=3   # seconds for an answer, asked three times a round
DHCP_ROUNDS=12 # of nine seconds a card: a switch port that waits for a spanning tree is deaf for thirty

start_network() {
    local candidates other
    domain='' mtu=''
    ip link set lo up
    parse_ip "$ip_argument"
    candidates=$(wait_for "$NIC_WAIT" candidate_nics) ||
        fail NB-NIC "no network card${BOOTIF_MAC:+ has the address $BOOTIF_MAC}; there are: $(describe_nics)"
    for nic in $candidates; do ip link set "$nic" up; done
    # shellcheck disable=SC2086 # one word a card
    wait_for "$LINK_WAIT" with_link $candidates >/dev/null || fail NB-LINK "no cable is heard: $(describe_nics)"
    # shellcheck disable=SC2086
    if [ "$address" ]; then
        nic=$(with_link $candidates)
        nic=${nic%% *}
    else
        find_lease $candidates || fail NB-DHCP "no DHCP server answers: $(describe_nics)"
    fi
    configure_nic
    # The booted system gives the other cards names of its own, which needs them down.
    for other in $candidates; do
        [ "$other" = "$nic" ] || ip link set "$other" down
    done
}

# The names of the real network cards.
nics() {
    local path
    for path in /sys/class/net/*/device; do
        [ -e "$path" ] || continue
        path=${path%/device}
        printf '%s ' "${path##*/}"
    done
}

candidate_nics() {
    local name
    if [ "$BOOTIF_MAC" ]; then
        for name in $(nics); do
            [ "$(cat "/sys/class/net/$name/address")" != "$BOOTIF_MAC" ] || printf '%s ' "$name"
        done
    elif [ "$device" ] && [ -e "/sys/class/net/$device/device" ]; then
        printf %s "$device"
    else
        nics
    fi
}

with_link() { # NIC...
    local name
    for name in "$@"; do
        [ "$(cat "/sys/class/net/$name/carrier" 2>/dev/null)" != 1 ] || printf '%s ' "$name"
    done
}

# eth0 (52:54:00:12:34:56, virtio_net, link) eth1 (52:54:00:12:34:57, e1000e, no link)
describe_nics() {
    local name driver
    [ "$(nics)" ] || printf none
    for name in $(nics); do
        driver=$(readlink "/sys/class/net/$name/device/driver")
        printf '%s (%s, %s, ' "$name" "$(cat "/sys/class/net/$name/address")" "${driver##*/}"
        [ "$(with_link "$name")" ] || printf 'no '
        printf 'link) '
    done
}

# Runs a command until it prints something, then prints that.
wait_for() { # SECONDS COMMAND...
    local tries=$(($1 * 5)) found
    shift
    while [ "$tries" -gt 0 ]; do
        found=$("$@")
        if [ "$found" ]; then
            printf %s "$found"
            return
        fi
        sleep 0.2
        tries=$((tries - 1))
    done
    return 1
}

# Asks DHCP on each card with a link in turn; sets nic and what the lease says.
find_lease() { # NIC...
    local round=1
    while [ "$round" -le "$DHCP_ROUNDS" ]; do
        for nic in $(with_link "$@"); do
            udhcpc -i "$nic" -n -q -f -t 3 -T "$DHCP_PAUSE" -O mtu -s /usr/lib/imagebuilder/udhcpc.script >/dev/null 2>&1
            if [ -e "$LEASE" ]; then
                . "$LEASE"
                return
            fi
        done
        round=$((round + 1))
    done
    return 1
}

configure_nic() {
    local server
    BOOTIF_MAC=$(cat "/sys/class/net/$nic/address")
    [ -z "$mtu" ] || ip link set "$nic" mtu "$mtu"
    ip addr add "$address" broadcast + dev "$nic" || fail NB-ADDRESS "\`$address\` is no address for $nic"
    # A gateway outside of the own network (clouds have that) must be made reachable first.
    if [ "$gateway" ] && ! ip route add default via "$gateway" dev "$nic" 2>/dev/null; then
        ip route add "$gateway" dev "$nic"
        ip route add default via "$gateway" dev "$nic" || fail NB-ADDRESS "\`$gateway\` is no gateway for $address"
    fi
    : >/etc/resolv.conf
    [ -z "$domain" ] || echo "search $domain" >>/etc/resolv.conf
    for server in $nameservers; do echo "nameserver $server" >>/etc/resolv.conf; done
}

# Everything in the kernel log, from its first line on, to the server that SYSLOGSERVER= names.
forward_syslog() {
    [ "$SYSLOGSERVER" ] || return 0
    syslogd -R "$SYSLOGSERVER"
    klogd
}
