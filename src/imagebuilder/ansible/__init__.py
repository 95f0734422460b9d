"""What runs inside Ansible's own process: its configuration and the plugins that lead it into a chroot."""
