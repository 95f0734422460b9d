-- What commands have said so far, as bytes, while they run and until their tasks are forgotten.
CREATE TABLE task_output (
    task_id VARCHAR(24) NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    -- `stdout` or `stderr`.
    stream VARCHAR(6) NOT NULL,
    -- How many bytes came before these.
    start BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (task_id, stream, start)
);
