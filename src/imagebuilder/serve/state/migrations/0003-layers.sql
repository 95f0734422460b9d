ALTER TABLE boots
    -- The sha256 of the layer of the node's own that the boot script named, or empty.
    ADD COLUMN layer VARCHAR(64) NOT NULL DEFAULT '';

-- What each node was last given as its own layer.
CREATE TABLE layers (
    node_id VARCHAR(24) PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    sha256 VARCHAR(64) NOT NULL,
    -- Its files as JSON, secrets masked.
    files TEXT NOT NULL
);
