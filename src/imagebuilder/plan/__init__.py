"""Pure: a spec and its resolved packages become a DAG of steps."""
