"""The operator's API: one table of operations, which is served (routes.py) and described (openapi.py).

operation.py   what an operation is
nodes.py       machines, their profiles, inventories
tasks.py       commands for nodes
images.py      what the store has, and which names stand for what
"""
