-- For servers of 2018 (18.16): DateTime for DateTime64, UInt8 for Bool, plain strings, no codecs.
--
-- mstore: every message that was sent, said or clicked. Append-only facts; the children of a message name it in `pmid`.
--
-- Ordered so that a conversation (tenant, thread, time) is read in one piece; by month and never by tenant partitioned.
CREATE TABLE IF NOT EXISTS mstore /*on_cluster*/
(
    -- identity and time
    mid UUID,
    pmid Nullable(UUID), -- the message that this one answers; null: it begins something
    tid UUID, -- thread (mthreads)
    seq UInt64 DEFAULT 0, -- the producer's own count; a gap shows a loss
    created_at DateTime('UTC'), -- when it happened, says the producer
    received_at DateTime('UTC') DEFAULT now(), -- when it reached the store
    updated_at Nullable(DateTime('UTC')),
    -- whose it is
    oid UUID, -- tenant
    org String, -- part of the tenant
    owner UUID,
    uid Nullable(UUID), -- user; null: anonymous
    vid UUID, -- visitor
    updater UUID,
    -- what it is
    kind Enum8(
        'event' = 0, 'chat' = 1, 'ad_click' = 2, 'impression' = 3,
        'email' = 4, 'sms' = 5, 'push' = 6, 'conversion' = 7
    ),
    svc String, -- the service that delivered it
    subject String,
    msg String,
    data String, -- JSON text
    meta String, -- JSON text
    mtempl String,
    repl String, -- JSON text
    mtypes Array(String),
    urgency Int8,
    sys UInt8,
    broadcast UInt8,
    keep UInt8,
    hidden UInt8,
    hide_at Nullable(DateTime('UTC')),
    deleted_at Nullable(DateTime('UTC')),
    qid UUID, -- task of the queue
    rid UUID, -- the object it is about; `relation` says of which kind
    relation String,
    -- its way
    planned_at Nullable(DateTime('UTC')),
    scheduled_at Nullable(DateTime('UTC')),
    scheduled_local_hour Nullable(Int8), -- 0 to 23; null: the recipient's zone is not known
    scheduled_local_dow Nullable(Int8), -- 0 to 6
    recipient_timezone String,
    utc_offset_minutes Int16,
    started_at Nullable(DateTime('UTC')),
    completed_at Nullable(DateTime('UTC')),
    users Array(UUID),
    deliveries Array(UUID),
    failures Array(UUID),
    perms_ids Array(UUID),
    -- experiment and outcome
    xid String,
    split String,
    funnel_stage String,
    conversion_event_count UInt32,
    revenue Nullable(Decimal(18, 4)), -- null: nothing was sold; 0: something was, for nothing
    score Nullable(Float64),
    country FixedString(2), -- ISO 3166-1; two zero bytes: unknown
    interest String, -- JSON text
    perf String, -- JSON text
    text_normalized String,
    text_tokens Array(String)
)
ENGINE = /*replicated*/MergeTree()
PARTITION BY toYYYYMM(created_at)
ORDER BY (oid, org, tid, created_at, mid);
