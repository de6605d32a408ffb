-- events: what visitors did. Append-only facts, one row an event, never updated.
--
-- Ordered by tenant first (each query has one), then day and name, then visitor: a funnel reads few granules, and
-- equal neighbours compress. Partitioned by month and never by tenant: one INSERT of many tenants must stay one part.
-- Null means "not known" and is used only where zero would be a lie (a place at 0,0; a user who is anonymous).
CREATE TABLE IF NOT EXISTS events /*on_cluster*/
(
    -- identity and time
    eid UUID,
    seq UInt64 DEFAULT 0 CODEC(Delta(8), ZSTD(1)), -- the producer's own count; a gap shows a loss
    created_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)), -- when it happened, says the producer
    received_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)), -- when it reached the store
    -- whose it is
    oid UUID, -- tenant
    org LowCardinality(String), -- part of the tenant
    hhash LowCardinality(String), -- hash of the host name
    app LowCardinality(String),
    rel LowCardinality(String),
    -- who did it
    vid UUID, -- visitor (a browser or an installation)
    sid UUID, -- session
    uid Nullable(UUID), -- user; null: anonymous
    device_id Nullable(UUID),
    cflags UInt64, -- bits of consent
    -- what was done
    ename LowCardinality(String), -- click, page_view, purchase ...
    etyp LowCardinality(String),
    ptyp LowCardinality(String),
    sink LowCardinality(String), -- the outcome that is aimed at
    score Nullable(Float64), -- progress towards it
    ver Int32,
    duration UInt32, -- ms since the visitor's previous event
    url String CODEC(ZSTD(1)),
    host LowCardinality(String) MATERIALIZED domain(url), -- computed here, so that no producer has to send it
    last String CODEC(ZSTD(1)), -- where the visitor came from
    tid UUID, -- thread (mthreads) that caused it
    rid UUID, -- the object it is about; `relation` says of which kind
    relation LowCardinality(String),
    auth_id UUID, -- author of the content
    invoice_id Nullable(UUID),
    revenue Nullable(Decimal(18, 4)),
    tags Array(LowCardinality(String)),
    params String CODEC(ZSTD(3)), -- JSON text
    targets String CODEC(ZSTD(3)), -- JSON text
    -- experiment and campaign
    xid LowCardinality(String),
    split LowCardinality(String),
    content String,
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String),
    term String,
    ref Nullable(UUID), -- the user who referred the visitor
    rcode LowCardinality(String),
    aff LowCardinality(String),
    arm_id LowCardinality(String), -- arm of a bandit
    mcid LowCardinality(String), -- meta-campaign
    -- where from
    ip String,
    iphash String,
    lat Nullable(Float64),
    lon Nullable(Float64),
    country FixedString(2), -- ISO 3166-1; two zero bytes: unknown
    region LowCardinality(String),
    city LowCardinality(String),
    zip String,
    tz LowCardinality(String),
    culture LowCardinality(String),
    -- with what
    browser LowCardinality(String),
    bhash String,
    device LowCardinality(String),
    os LowCardinality(String),
    vp_w UInt16,
    vp_h UInt16,
    ja4h String, -- fingerprint of the HTTP client
    gaid String,
    idfa String,
    msid String,
    fbid String,
    INDEX events_eid eid TYPE bloom_filter(0.01) GRANULARITY 4, -- "was this event stored?" is asked by id alone
    INDEX events_tid tid TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = /*replicated*/MergeTree
PARTITION BY toYYYYMM(created_at)
ORDER BY (oid, org, toDate(created_at), ename, vid, created_at)
-- A repeated INSERT of the same block is thrown away by the server; on Replicated tables it is so by itself.
SETTINGS non_replicated_deduplication_window = 1000;
