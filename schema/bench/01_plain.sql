-- plain: a column for each key of the generator's mstore rows, of types that every tool writes. Only for measuring.
CREATE TABLE IF NOT EXISTS plain
(
    seq UInt64,
    mid UUID,
    pmid UUID,
    tid UUID,
    oid UUID,
    org String,
    vid UUID,
    uid UUID,
    created_at DateTime64(3, 'UTC'),
    kind String,
    svc String,
    subject String,
    msg String,
    urgency Int8,
    sys UInt8,
    xid String,
    split String,
    funnel_stage String,
    country String,
    revenue Float64,
    score Float64,
    mtypes String,
    data String,
    conversion_event_count UInt32
)
ENGINE = MergeTree
ORDER BY (oid, created_at);
