-- low_cardinality: `plain` with dictionaries for the columns that have few values. Only for measuring.
CREATE TABLE IF NOT EXISTS low_cardinality
(
    seq UInt64,
    mid UUID,
    pmid UUID,
    tid UUID,
    oid UUID,
    org LowCardinality(String),
    vid UUID,
    uid UUID,
    created_at DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    svc LowCardinality(String),
    subject String,
    msg String,
    urgency Int8,
    sys UInt8,
    xid LowCardinality(String),
    split LowCardinality(String),
    funnel_stage LowCardinality(String),
    country LowCardinality(String),
    revenue Float64,
    score Float64,
    mtypes String,
    data String,
    conversion_event_count UInt32
)
ENGINE = MergeTree
ORDER BY (oid, created_at);
