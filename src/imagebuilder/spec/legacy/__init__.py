"""Trees of 2015 and 2016: what their variables, roles and playbooks mean today.

variables.py   the one table of their variables
keys.py        a config file's variables -> keys of `image:`
arguments.py   `key=value` arguments of a task -> a mapping
tasks.py       one task of Ansible 1.9 or 2.1 -> one of today
needless.py    tasks that the build itself does by now
roles.py       a role's files -> the same in today's syntax
changes.py     what was changed, to be told
"""
