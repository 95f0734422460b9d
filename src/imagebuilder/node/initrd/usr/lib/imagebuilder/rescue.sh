# shellcheck shell=dash disable=SC2034,SC2154
# A shell by ssh on a node that cannot boot, nb.onfail=ssh. It is for the keys that the initrd was built with, for
# no password, and only where the initrd has dropbear.

readonly RESCUE_KEYS=/root/.ssh/authorized_keys
SSH_PORT=22

# Comes back only if there can be none, and says why.
serve_ssh() {
    if ! command -v dropbear >/dev/null || [ ! -s "$RESCUE_KEYS" ]; then
        say "no ssh: this initrd was built without \`dropbear\`, or without $RESCUE_KEYS"
    elif [ -z "$address" ]; then
        say "no ssh: the node has no address"
    else
        mkdir -p /dev/pts /etc/dropbear
        mount -t devpts -o nosuid,noexec,mode=0600 devpts /dev/pts 2>/dev/null
        say "root may log in by ssh at ${address%/*}; \`reboot -f\` there restarts the node"
        dropbear -F -s -R -P "$RUN/dropbear.pid" -p "$SSH_PORT" 2>"$RUN/ssh.log"
        say "no ssh: $(tail -n 1 "$RUN/ssh.log")"
    fi
}
