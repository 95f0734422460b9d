ALTER TABLE boots
    -- The sha256 of the token in the path where the agent of this boot asks for tasks, or empty.
    ADD COLUMN agent VARCHAR(64) NOT NULL DEFAULT '';

CREATE INDEX boots_agent ON boots (agent);

CREATE TABLE tasks (
    id VARCHAR(24) PRIMARY KEY,
    node_id VARCHAR(24) NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    -- The order in which they were asked for, over all nodes.
    number BIGINT NOT NULL UNIQUE,
    -- What is asked for: `command`, or `inventory`, whose result is the node's hardware as JSON.
    kind VARCHAR(16) NOT NULL,
    command TEXT NOT NULL,
    -- Seconds that the command may take on the node.
    timeout BIGINT NOT NULL,
    -- How often it may be begun again when nobody knows how it ended.
    retries BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL,
    created BIGINT NOT NULL,
    -- When the node got it last, and when its result came; 0 before.
    given BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    -- What the command ended with; -1 when nobody knows.
    status BIGINT NOT NULL,
    stdout TEXT NOT NULL,
    stderr TEXT NOT NULL
);

CREATE INDEX tasks_state ON tasks (state, node_id);
