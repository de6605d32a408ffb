-- mtriage: messages on their way: a queue by priority, with follow-ups and escalation. Rows are updated: the row with
-- the highest `version` stands, so read with FINAL or argMax; `is_deleted` = 1 takes a message out.
--
-- `created_at` is the message's own and never changes: merges replace rows within one month only, so that it has no
-- default on purpose (now() would put an update beside the row that it should replace).
CREATE TABLE IF NOT EXISTS mtriage /*on_cluster*/
(
    -- identity and time
    tid UUID,
    mid UUID,
    pmid Nullable(UUID),
    created_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    updated_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    version UInt64 DEFAULT toUnixTimestamp64Milli(updated_at), -- a producer that counts its updates may send its own
    is_deleted UInt8 DEFAULT 0,
    -- whose it is
    oid UUID,
    org LowCardinality(String),
    owner UUID,
    uid Nullable(UUID),
    vid Nullable(UUID),
    updater UUID,
    -- what it is
    subject String CODEC(ZSTD(1)),
    msg String CODEC(ZSTD(1)),
    data String CODEC(ZSTD(3)), -- JSON text
    meta String CODEC(ZSTD(3)), -- JSON text
    mtempl String,
    repl String CODEC(ZSTD(3)), -- JSON text
    svc LowCardinality(String),
    mtypes Array(LowCardinality(String)),
    sys Bool,
    broadcast Bool,
    keep Bool,
    qid UUID,
    rid UUID,
    relation LowCardinality(String),
    -- its place in the queue
    status Enum8(
        'pending' = 0, 'scheduled' = 1, 'running' = 2,
        'done' = 3, 'failed' = 4, 'escalated' = 5, 'cancelled' = 6
    ),
    urgency Int32, -- higher goes first
    attempts UInt16,
    customer_value Nullable(Decimal(18, 4)), -- null: not known; triggers for customers of high value read it
    sla_due_at Nullable(DateTime64(3, 'UTC')), -- null: no agreement; past it, escalate
    follow_up_at Nullable(DateTime64(3, 'UTC')),
    escalated_to Nullable(UUID),
    scheduled_at Nullable(DateTime64(3, 'UTC')),
    scheduled_local_hour Nullable(Int8),
    scheduled_local_dow Nullable(Int8),
    recipient_timezone LowCardinality(String),
    utc_offset_minutes Int16,
    started_at Nullable(DateTime64(3, 'UTC')),
    completed_at Nullable(DateTime64(3, 'UTC')),
    users Array(UUID),
    deliveries Array(UUID),
    failures Array(UUID),
    perms_ids Array(UUID),
    xid LowCardinality(String),
    split LowCardinality(String)
)
ENGINE = /*replicated*/ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(created_at)
ORDER BY (oid, org, tid, mid)
SETTINGS non_replicated_deduplication_window = 1000;
