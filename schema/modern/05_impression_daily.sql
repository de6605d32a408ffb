-- impression_daily: counters a day and variant. Producers send increments (usually 1); merges add them up, so read
-- with sum() and GROUP BY. An increment that lands twice counts twice, so a retry must deduplicate.
CREATE TABLE IF NOT EXISTS impression_daily /*on_cluster*/
(
    oid UUID, -- tenant
    org LowCardinality(String),
    day Date,
    campaign_id String,
    tid UUID, -- thread (mthreads)
    variant_id LowCardinality(String), -- 'all': of all variants
    total_impressions UInt64,
    anonymous_impressions UInt64,
    identified_impressions UInt64,
    unique_visitors UInt64, -- 1 with a visitor's first impression of the day: distinct counts do not add up otherwise
    clicks UInt64,
    conversions UInt64,
    revenue Decimal(38, 4) -- wide: it is a sum
)
ENGINE = /*replicated*/SummingMergeTree((
    total_impressions, anonymous_impressions, identified_impressions, unique_visitors,
    clicks, conversions, revenue
))
PARTITION BY toYYYYMM(day)
ORDER BY (oid, org, day, campaign_id, tid, variant_id)
SETTINGS non_replicated_deduplication_window = 1000;
