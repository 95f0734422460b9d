"""on-imagebuilder: netbootable, in-RAM Debian and Ubuntu images from a tree of YAML and Ansible roles."""

__version__ = "1.0.0.dev0"
