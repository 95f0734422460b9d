# shellcheck shell=dash disable=SC2034,SC2154
# What the booted system gets from us: its network, the facts of this boot, and PID 1.

NETWORKD=/run/systemd/network

hand_over() {
    local name
    [ -e /newroot/sbin/init ] || [ -L /newroot/sbin/init ] || fail NB-ROOT "the image has no /sbin/init"
    write_boot_facts
    write_network_files
    # Where resolv.conf is a link, somebody in the image looks after it.
    [ -L /newroot/etc/resolv.conf ] || cp /etc/resolv.conf /newroot/etc/resolv.conf
    # The modules are a layer with /usr/lib; an image that still has a /lib of its own looks there.
    if [ ! -L /newroot/lib ]; then
        for name in modules firmware; do
            mkdir -p "/newroot/lib/$name"
            mount --bind "/layers/modules/usr/lib/$name" "/newroot/lib/$name"
        done
    fi
}

# For `imagebuilder capture`: what was booted, and what the system changes from here on.
#
#     $RUN/stack          lines SHA256 NAME, the base's first; `-` where nobody said the digest. The node's own layer
#                         is no part of an image
#     $RUN/changes/upper  the upperdir, root's alone and to be read only: changed under the kernel's feet it would be
#                         anybody's guess what the system sees
show_changes() {
    local number
    for number in $(layers_from 0); do
        [ "$number" != "$node_layer" ] || continue
        eval "printf '%s %s\n' \"\${sha256_$number:--}\" \"\$name_$number\""
    done >"$RUN/stack"
    mkdir -m 0700 "$RUN/changes"
    mkdir "$RUN/changes/upper"
    if ! { mount --bind "$upper" "$RUN/changes/upper" &&
        mount -o remount,bind,ro,nosuid,nodev,noexec "$RUN/changes/upper"; }; then
        umount "$RUN/changes/upper" 2>/dev/null
        rmdir "$RUN/changes/upper"
        say "what is changed on this node cannot be captured: its files are not to be seen"
    fi
}

# KEY='value' lines for sh and for systemd: read by the agent and by whatever forwards syslog.
write_boot_facts() {
    local name value
    for name in API_CB BOOTIF_MAC SYSLOGSERVER BASEFS OVERLAYFS MANIFEST TOKEN; do
        eval "value=\$$name"
        printf "%s='%s'\n" "$name" "$(printf %s "$value" | tr -d "'")"
    done >"$RUN/boot.env"
}

# systemd-networkd takes over what we set up without taking it down: a leased address it asks for
# again under the same client identifier, so that the lease is renewed and the address stays.
write_network_files() {
    local folder=$NETWORKD
    mkdir -p "$folder"
    # The card keeps its name: Linux before 6.2 cannot rename it in use, and udev, having failed
    # at that, would never hand it to networkd.
    {
        match_boot_nic
        printf '[Link]\nNamePolicy=keep\nAlternativeNamesPolicy=database onboard slot path\n'
    } >"$folder/10-imagebuilder-boot.link"
    {
        match_boot_nic
        [ -z "$mtu" ] || printf '[Link]\nMTUBytes=%s\n\n' "$mtu"
        printf '[Network]\nKeepConfiguration=yes\nLLDP=yes\nEmitLLDP=yes\n'
        if [ "$VLAN" ]; then
            printf 'VLAN=%s\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' "$interface"
        else
            networkd_address
        fi
    } >"$folder/10-imagebuilder-boot.network"
    [ -z "$VLAN" ] || write_vlan_files "$folder"
    cp /usr/lib/imagebuilder/other.network "$folder/90-imagebuilder-other.network"
}

write_vlan_files() { # FOLDER
    printf '[NetDev]\nName=%s\nKind=vlan\n\n[VLAN]\nId=%s\n' "$interface" "$VLAN" >"$1/10-imagebuilder-vlan.netdev"
    {
        printf '[Match]\nName=%s\n\n[Network]\nKeepConfiguration=yes\n' "$interface"
        networkd_address
    } >"$1/10-imagebuilder-vlan.network"
}

# The rest of a section [Network], and what comes behind it.
networkd_address() {
    local server
    [ -z "$domain" ] || printf 'Domains=%s\n' "$domain"
    for server in $nameservers; do printf 'DNS=%s\n' "$server"; done
    case $method in
    dhcp) printf 'DHCP=ipv4\n\n[DHCPv4]\nClientIdentifier=mac\n' ;;
    static)
        printf 'Address=%s\n' "$address"
        [ -z "$gateway" ] || printf 'Gateway=%s\n' "$gateway"
        ;;
    *) printf 'IPv6AcceptRA=yes\n' ;; # which asks a DHCPv6 server where the router says so
    esac
}

match_boot_nic() {
    printf '[Match]\nMACAddress=%s\nType=ether\n\n' "$BOOTIF_MAC"
}

# Never comes back.
leave() {
    local name
    finish_record
    show_changes
    killall syslogd klogd 2>/dev/null
    rm -f /dev/log
    for name in proc sys dev run; do
        mkdir -p "/newroot/$name"
        mount --move "/$name" "/newroot/$name"
    done
    exec switch_root /newroot /sbin/init
}
