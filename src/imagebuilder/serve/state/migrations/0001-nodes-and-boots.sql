-- Times are seconds since 1970. An `id` is 24 hexadecimal digits.

CREATE TABLE nodes (
    id VARCHAR(24) PRIMARY KEY,
    -- What the node is known by: its MAC address, else its UUID, else its serial number.
    identity VARCHAR(128) NOT NULL UNIQUE,
    mac VARCHAR(17) NOT NULL,
    uuid VARCHAR(36) NOT NULL,
    serial VARCHAR(128) NOT NULL,
    vendor VARCHAR(128) NOT NULL,
    model VARCHAR(128) NOT NULL,
    -- Where it asked from last.
    address VARCHAR(64) NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL
);

CREATE TABLE boots (
    id VARCHAR(24) PRIMARY KEY,
    node_id VARCHAR(24) NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    -- The n-th boot of the node.
    number BIGINT NOT NULL,
    -- The sha256 of the token that the boot script carried.
    token VARCHAR(64) NOT NULL UNIQUE,
    profile VARCHAR(128) NOT NULL,
    image VARCHAR(256) NOT NULL,
    manifest VARCHAR(71) NOT NULL,
    started BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    phase VARCHAR(32) NOT NULL,
    -- An error code of the initrd, or empty.
    code VARCHAR(32) NOT NULL,
    -- The last lines of the log of a node that could not boot.
    log TEXT NOT NULL,
    UNIQUE (node_id, number)
);

CREATE TABLE events (
    boot_id VARCHAR(24) NOT NULL REFERENCES boots (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    phase VARCHAR(32) NOT NULL,
    -- Milliseconds since the node's kernel started.
    ms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    code VARCHAR(32) NOT NULL,
    detail VARCHAR(1024) NOT NULL,
    PRIMARY KEY (boot_id, number)
);
