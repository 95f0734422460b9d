# shellcheck shell=dash disable=SC1090,SC2034,SC2154
# Addresses of IPv6 that a router or a DHCPv6 server gives. The kernel itself listens to routers, sets what
# they say, and adds the route; what is left is to wait for it.

# Whether a server is named by an address of IPv6. Else one of our own would reach none of them, and to
# wait for DHCP is better.
is_served_by_ipv6() {
    case $API_CB$SERVERS$MANIFEST$BASEFS in *'['*':'*']'*) ;; *) return 1 ;; esac
}

use_router() { # SECONDS
    nobody='no router or DHCP server'
    address=$(wait_for "$1" router_address) || return 1
    gateway=$(ip -6 route show default | awk -v name="$interface" '$2 == "via" && $5 == name { print $3; exit }')
    method=auto6
}

# ADDRESS/PREFIX, when nobody else turned out to have it.
router_address() {
    ip -6 addr show dev "$interface" scope global | awk '$1 == "inet6" && !/tentative/ { print $2; exit }'
}

# busybox has no client.
ask_dhcp6() {
    nobody='no DHCPv6 server'
    command -v dhcpcd >/dev/null || fail NB-ARGUMENT "\`ip=dhcp6\` wants \`dhcpcd\`, which this initrd lacks"
    rm -rf /var/lib/dhcpcd # an old lease is asked for first, be it of another network
    mkdir -p /var/lib/dhcpcd /run/dhcpcd
    # Its own --timeout does not end a search for servers of DHCPv6.
    timeout "$((3 * DHCP_PAUSE))" dhcpcd -6 --oneshot --nobackground --noconfigure --nodev --env "LEASE=$LEASE" \
        -f /usr/lib/imagebuilder/dhcpcd.conf -c /usr/lib/imagebuilder/lease.script "$interface" >/dev/null 2>&1
    [ -e "$LEASE" ] || return 1
    . "$LEASE"
    method=dhcp6
}
