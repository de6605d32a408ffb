-- mstore: every message that was sent, said or clicked. Append-only facts; the children of a message name it in `pmid`.
--
-- Ordered so that a conversation (tenant, thread, time) is read in one piece; by month and never by tenant partitioned.
CREATE TABLE IF NOT EXISTS mstore /*on_cluster*/
(
    -- identity and time
    mid UUID,
    pmid Nullable(UUID), -- the message that this one answers; null: it begins something
    tid UUID, -- thread (mthreads)
    seq UInt64 DEFAULT 0 CODEC(Delta(8), ZSTD(1)), -- the producer's own count; a gap shows a loss
    created_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)), -- when it happened, says the producer
    received_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)), -- when it reached the store
    updated_at Nullable(DateTime64(3, 'UTC')),
    -- whose it is
    oid UUID, -- tenant
    org LowCardinality(String), -- part of the tenant
    owner UUID,
    uid Nullable(UUID), -- user; null: anonymous
    vid UUID, -- visitor
    updater UUID,
    -- what it is
    kind Enum8(
        'event' = 0, 'chat' = 1, 'ad_click' = 2, 'impression' = 3,
        'email' = 4, 'sms' = 5, 'push' = 6, 'conversion' = 7
    ),
    svc LowCardinality(String), -- the service that delivered it
    subject String CODEC(ZSTD(1)),
    msg String CODEC(ZSTD(1)),
    data String CODEC(ZSTD(3)), -- JSON text
    meta String CODEC(ZSTD(3)), -- JSON text
    mtempl String,
    repl String CODEC(ZSTD(3)), -- JSON text
    mtypes Array(LowCardinality(String)),
    urgency Int8,
    sys Bool,
    broadcast Bool,
    keep Bool,
    hidden Bool,
    hide_at Nullable(DateTime64(3, 'UTC')),
    deleted_at Nullable(DateTime64(3, 'UTC')),
    qid UUID, -- task of the queue
    rid UUID, -- the object it is about; `relation` says of which kind
    relation LowCardinality(String),
    -- its way
    planned_at Nullable(DateTime64(3, 'UTC')),
    scheduled_at Nullable(DateTime64(3, 'UTC')),
    scheduled_local_hour Nullable(Int8), -- 0 to 23; null: the recipient's zone is not known
    scheduled_local_dow Nullable(Int8), -- 0 to 6
    recipient_timezone LowCardinality(String),
    utc_offset_minutes Int16,
    started_at Nullable(DateTime64(3, 'UTC')),
    completed_at Nullable(DateTime64(3, 'UTC')),
    users Array(UUID),
    deliveries Array(UUID),
    failures Array(UUID),
    perms_ids Array(UUID),
    -- experiment and outcome
    xid LowCardinality(String),
    split LowCardinality(String),
    funnel_stage LowCardinality(String),
    conversion_event_count UInt32,
    revenue Nullable(Decimal(18, 4)), -- null: nothing was sold; 0: something was, for nothing
    score Nullable(Float64),
    country FixedString(2), -- ISO 3166-1; two zero bytes: unknown
    interest String CODEC(ZSTD(3)), -- JSON text
    perf String CODEC(ZSTD(3)), -- JSON text
    text_normalized String CODEC(ZSTD(3)),
    text_tokens Array(String),
    INDEX mstore_mid mid TYPE bloom_filter(0.01) GRANULARITY 4, -- "was this message stored?" is asked by id alone
    INDEX mstore_vid vid TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = /*replicated*/MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (oid, org, tid, created_at, mid)
-- A repeated INSERT of the same block is thrown away by the server; on Replicated tables it is so by itself.
SETTINGS non_replicated_deduplication_window = 1000;
