# Behind `look`, on a booted node: what each of the three overlays did to the base and to one another.
say ping "$(getcap /usr/bin/ping) $(su alice -c 'ping -c 1 -W 5 127.0.0.1 >/dev/null && echo answered')"
say homes "$(stat -c '%U:%G' /home/alice /home/bob | xargs)"
say vim "$(command -v vi)"
say skel "$(readlink /etc/skel)"
say hidden "$(cat /etc/of-one 2>&1 | grep -o 'No such file')"
say replaced "$(ls /opt/two)"
say here "$(look | grep -v ^libraries= | md5sum) $(grep -v ^libraries= /etc/seen-in-the-build | md5sum)"
say sidecar "$(ls -A / | grep '^[.]on-imagebuilder')"
systemctl is-system-running --wait >/dev/null
say failed "$(systemctl --failed --plain --no-legend | cut -d' ' -f1 | xargs)"
say listens "$(systemctl is-active rpcbind.socket)"
