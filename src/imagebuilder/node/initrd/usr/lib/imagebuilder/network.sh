# shellcheck shell=dash disable=SC1090,SC2034,SC2154
# From network cards to an address: sets nic, interface (the card, or its VLAN), address (ADDRESS/PREFIX),
# gateway, nameservers, domain, mtu, and method: how it came by its address.

export LEASE=$RUN/lease   # lease.script writes it
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
    for nic in $candidates; do raise_nic; done
    # shellcheck disable=SC2086 # one word a card
    wait_for "$LINK_WAIT" with_link $candidates >/dev/null || fail NB-LINK "no cable is heard: $(describe_nics)"
    # shellcheck disable=SC2086
    find_address $candidates || fail NB-DHCP "$nobody answers: $(describe_nics)"
    configure_nic
    # The booted system gives the other cards names of its own, which needs them down.
    for other in $candidates; do
        [ "$other" = "$nic" ] || ip link set "$other" down
    done
}

# Brings nic up, and its VLAN; sets interface.
raise_nic() {
    # Some cards lose their link for a moment when this changes, so it comes first. What a card refuses
    # matters if it is the one that is used.
    [ -z "$MTU" ] || ip link set "$nic" mtu "$MTU" 2>/dev/null
    ip link set "$nic" up
    name_interface
    [ "$VLAN" ] || return 0
    [ -e "/sys/class/net/$interface" ] || ip link add link "$nic" name "$interface" type vlan id "$VLAN" ||
        fail NB-ADDRESS "$nic does not take \`nb.vlan=$VLAN\`"
    ip link set "$interface" up
}

name_interface() {
    interface=$nic${VLAN:+.$VLAN}
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

# Asks on each card with a link in turn; sets nic, interface, method and what the answer says, or nobody: who
# did not answer.
find_address() { # NIC...
    local round=1
    while [ "$round" -le "$DHCP_ROUNDS" ]; do
        for nic in $(with_link "$@"); do
            name_interface
            case $method in
            static) return ;;
            any) ask_dhcp || { is_served_by_ipv6 && use_router 1; } ;;
            dhcp) ask_dhcp ;;
            auto6) use_router "$((3 * DHCP_PAUSE))" ;;
            dhcp6) ask_dhcp6 ;;
            esac && return
        done
        round=$((round + 1))
    done
    return 1
}

ask_dhcp() {
    nobody='no DHCP server'
    udhcpc -i "$interface" -n -q -f -t 3 -T "$DHCP_PAUSE" -O mtu -s /usr/lib/imagebuilder/lease.script >/dev/null 2>&1
    [ -e "$LEASE" ] || return 1
    . "$LEASE"
    method=dhcp
}

configure_nic() {
    local server
    BOOTIF_MAC=$(cat "/sys/class/net/$nic/address")
    [ -z "$MTU" ] || ip link set "$nic" mtu "$MTU" || fail NB-ADDRESS "$nic does not take \`nb.mtu=$MTU\`"
    # What the site says about its VLAN is not what the card has to carry for others.
    [ -z "$mtu" ] || [ "$MTU" ] || ip link set "$interface" mtu "$mtu"
    mtu=${MTU:-$mtu}
    # The kernel itself sets what a router says.
    [ "$method" = auto6 ] || set_address
    : >/etc/resolv.conf
    [ -z "$domain" ] || echo "search $domain" >>/etc/resolv.conf
    for server in $nameservers; do echo "nameserver $server" >>/etc/resolv.conf; done
}

set_address() {
    local family=-4 broadcast='broadcast +'
    case $address in *:*) family=-6 broadcast='' ;; esac
    # shellcheck disable=SC2086 # two words or none
    ip "$family" addr add "$address" $broadcast dev "$interface" ||
        fail NB-ADDRESS "\`$address\` is no address for $interface"
    # A gateway outside of the own network (clouds have that) must be made reachable first.
    if [ "$gateway" ] && ! ip "$family" route add default via "$gateway" dev "$interface" 2>/dev/null; then
        ip "$family" route add "$gateway" dev "$interface"
        ip "$family" route add default via "$gateway" dev "$interface" ||
            fail NB-ADDRESS "\`$gateway\` is no gateway for $address"
    fi
}

# Everything in the kernel log, from its first line on, to the server that SYSLOGSERVER= names.
forward_syslog() {
    [ "$SYSLOGSERVER" ] || return 0
    syslogd -R "$SYSLOGSERVER"
    klogd
}
