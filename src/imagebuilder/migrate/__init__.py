"""An old tree as a modern one, with everything that was changed.

pieces.py      a YAML file as the texts of its entries, so that what is not changed stays as it is
variables.py   which old variables can go
configs.py     config files and group_vars
playbooks.py   playbooks and the inventory
roles.py       roles
tree.py        all of it
"""
