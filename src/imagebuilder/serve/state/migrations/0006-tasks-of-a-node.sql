-- What a node has had to do is asked for at each of its boots.
CREATE INDEX tasks_node ON tasks (node_id, state, number);
