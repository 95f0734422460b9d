"""The only folder that touches the machine: processes, mounts, namespaces, chroots, clocks."""
