ALTER TABLE tasks
    -- What the command destroys, `erase` or `flash`, as the profile of its node has to allow; or empty.
    ADD COLUMN destroys VARCHAR(16) NOT NULL DEFAULT '';

-- What operators asked for, and what became of commands that destroy.
CREATE TABLE journal (
    number BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    who VARCHAR(128) NOT NULL,
    what VARCHAR(32) NOT NULL,
    -- What the node, the image or the profile is known by.
    which VARCHAR(256) NOT NULL,
    detail VARCHAR(1024) NOT NULL
);
