"""What the boot server remembers of nodes, in SQLite or PostgreSQL.

database.py   the connection, and bringing the schema up to date
migrations/   the schema, one numbered file a version
tables.py     the schema as it is now, for queries
nodes.py      nodes as they are seen
boots.py      their boots, and what they report of them
tasks.py      commands for them; output.py has what they say while they run
counts.py     how many nodes and tasks are in which state
journal.py    who asked for what
overview.py   all of it at a glance
"""
