-- For servers of 2018 (18.16): DateTime for DateTime64, UInt8 for Bool, plain strings, no codecs.
--
-- events: what visitors did. Append-only facts, one row an event, never updated.
--
-- Ordered by tenant first (each query has one), then day and name, then visitor: a funnel reads few granules, and
-- equal neighbours compress. Partitioned by month and never by tenant: one INSERT of many tenants must stay one part.
-- Null means "not known" and is used only where zero would be a lie (a place at 0,0; a user who is anonymous).
CREATE TABLE IF NOT EXISTS events /*on_cluster*/
(
    -- identity and time
    eid UUID,
    seq UInt64 DEFAULT 0, -- the producer's own count; a gap shows a loss
    created_at DateTime('UTC'), -- when it happened, says the producer
    received_at DateTime('UTC') DEFAULT now(), -- when it reached the store
    -- whose it is
    oid UUID, -- tenant
    org String, -- part of the tenant
    hhash String, -- hash of the host name
    app String,
    rel String,
    -- who did it
    vid UUID, -- visitor (a browser or an installation)
    sid UUID, -- session
    uid Nullable(UUID), -- user; null: anonymous
    device_id Nullable(UUID),
    cflags UInt64, -- bits of consent
    -- what was done
    ename String, -- click, page_view, purchase ...
    etyp String,
    ptyp String,
    sink String, -- the outcome that is aimed at
    score Nullable(Float64), -- progress towards it
    ver Int32,
    duration UInt32, -- ms since the visitor's previous event
    url String,
    host String MATERIALIZED domain(url), -- computed here, so that no producer has to send it
    last String, -- where the visitor came from
    tid UUID, -- thread (mthreads) that caused it
    rid UUID, -- the object it is about; `relation` says of which kind
    relation String,
    auth_id UUID, -- author of the content
    invoice_id Nullable(UUID),
    revenue Nullable(Decimal(18, 4)),
    tags Array(String),
    params String, -- JSON text
    targets String, -- JSON text
    -- experiment and campaign
    xid String,
    split String,
    content String,
    source String,
    medium String,
    campaign String,
    term String,
    ref Nullable(UUID), -- the user who referred the visitor
    rcode String,
    aff String,
    arm_id String, -- arm of a bandit
    mcid String, -- meta-campaign
    -- where from
    ip String,
    iphash String,
    lat Nullable(Float64),
    lon Nullable(Float64),
    country FixedString(2), -- ISO 3166-1; two zero bytes: unknown
    region String,
    city String,
    zip String,
    tz String,
    culture String,
    -- with what
    browser String,
    bhash String,
    device String,
    os String,
    vp_w UInt16,
    vp_h UInt16,
    ja4h String, -- fingerprint of the HTTP client
    gaid String,
    idfa String,
    msid String,
    fbid String
)
ENGINE = /*replicated*/MergeTree()
PARTITION BY toYYYYMM(created_at)
ORDER BY (oid, org, toDate(created_at), ename, vid, created_at);
