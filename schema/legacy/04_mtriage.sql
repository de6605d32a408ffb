-- For servers of 2018 (18.16): DateTime for DateTime64, UInt8 for Bool, plain strings, no codecs.
--
-- mtriage: messages on their way: a queue by priority, with follow-ups and escalation. Rows are updated: the row with
-- the highest `version` stands, so read with FINAL or argMax; filter by is_deleted = 0.
--
-- `created_at` is the message's own and never changes: merges replace rows within one month only, so that it has no
-- default on purpose (now() would put an update beside the row that it should replace).
CREATE TABLE IF NOT EXISTS mtriage /*on_cluster*/
(
    -- identity and time
    tid UUID,
    mid UUID,
    pmid Nullable(UUID),
    created_at DateTime('UTC'),
    updated_at DateTime('UTC') DEFAULT now(),
    version UInt64 DEFAULT toUInt64(updated_at) * 1000, -- a producer that counts its updates may send its own
    is_deleted UInt8 DEFAULT 0,
    -- whose it is
    oid UUID,
    org String,
    owner UUID,
    uid Nullable(UUID),
    vid Nullable(UUID),
    updater UUID,
    -- what it is
    subject String,
    msg String,
    data String, -- JSON text
    meta String, -- JSON text
    mtempl String,
    repl String, -- JSON text
    svc String,
    mtypes Array(String),
    sys UInt8,
    broadcast UInt8,
    keep UInt8,
    qid UUID,
    rid UUID,
    relation String,
    -- its place in the queue
    status Enum8(
        'pending' = 0, 'scheduled' = 1, 'running' = 2,
        'done' = 3, 'failed' = 4, 'escalated' = 5, 'cancelled' = 6
    ),
    urgency Int32, -- higher goes first
    attempts UInt16,
    customer_value Nullable(Decimal(18, 4)), -- null: not known; triggers for customers of high value read it
    sla_due_at Nullable(DateTime('UTC')), -- null: no agreement; past it, escalate
    follow_up_at Nullable(DateTime('UTC')),
    escalated_to Nullable(UUID),
    scheduled_at Nullable(DateTime('UTC')),
    scheduled_local_hour Nullable(Int8),
    scheduled_local_dow Nullable(Int8),
    recipient_timezone String,
    utc_offset_minutes Int16,
    started_at Nullable(DateTime('UTC')),
    completed_at Nullable(DateTime('UTC')),
    users Array(UUID),
    deliveries Array(UUID),
    failures Array(UUID),
    perms_ids Array(UUID),
    xid String,
    split String
)
ENGINE = /*replicated*/ReplacingMergeTree(version)
PARTITION BY toYYYYMM(created_at)
ORDER BY (oid, org, tid, mid);
