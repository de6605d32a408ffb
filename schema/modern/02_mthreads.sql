-- mthreads: threads of messages and the experiments on them. Rows are updated: the row with the highest `version`
-- stands, so read with FINAL or argMax. An update repeats the whole row.
--
-- Not partitioned: merges replace rows within one partition only, and threads are few. The key is what never changes.
CREATE TABLE IF NOT EXISTS mthreads /*on_cluster*/
(
    -- identity and time
    tid UUID,
    oid UUID,
    org LowCardinality(String),
    parent_tid Nullable(UUID), -- null: no variant of another thread
    created_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    updated_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    version UInt64 DEFAULT toUnixTimestamp64Milli(updated_at), -- a producer that counts its updates may send its own
    deleted_at Nullable(DateTime64(3, 'UTC')), -- null: it lives
    owner UUID,
    uid Nullable(UUID),
    vid Nullable(UUID),
    updater UUID,
    -- what it is
    alias String,
    name String,
    post String CODEC(ZSTD(1)),
    app LowCardinality(String),
    rel LowCardinality(String),
    ver Int32,
    ptyp LowCardinality(String),
    etyp LowCardinality(String),
    ename LowCardinality(String),
    auth_name String,
    cats Array(LowCardinality(String)),
    mtypes Array(LowCardinality(String)), -- ways of delivery: email, sms, push ...
    fmtypes Array(LowCardinality(String)), -- when those fail
    cmtypes Array(LowCardinality(String)), -- of the child messages
    ddata String CODEC(ZSTD(3)), -- JSON text
    mtempl String CODEC(ZSTD(3)), -- JSON text
    mcert_id UUID,
    urgency Int32,
    sys Bool,
    ephemeral Nullable(UInt32), -- seconds to live; null: for ever
    archived Bool,
    broadcast Bool,
    derive Bool,
    -- who may
    admins Array(UUID),
    subs Array(UUID),
    pubs Array(UUID),
    sent Array(UUID),
    outs Array(UUID),
    perms_ids Array(UUID),
    opens Bool,
    openp Bool,
    prefs String CODEC(ZSTD(3)), -- JSON text
    ftrack Bool,
    strack Bool,
    -- campaign
    campaign LowCardinality(String),
    campaign_id String,
    campaign_phase LowCardinality(String),
    campaign_priority Int32,
    campaign_budget_allocation Decimal(18, 4),
    campaign_status Enum8(
        'unknown' = 0, 'draft' = 1, 'scheduled' = 2,
        'active' = 3, 'paused' = 4, 'completed' = 5, 'cancelled' = 6
    ),
    source LowCardinality(String),
    svc LowCardinality(String),
    medium LowCardinality(String),
    term String,
    promo LowCardinality(String),
    ref Nullable(UUID),
    aff LowCardinality(String),
    provider LowCardinality(String),
    provider_campaign_id String,
    provider_account_id String,
    provider_metrics String CODEC(ZSTD(3)), -- JSON text
    provider_cost Decimal(18, 4),
    provider_status LowCardinality(String),
    -- reach
    planned_impressions UInt64,
    actual_impressions UInt64,
    impression_goal UInt64,
    impression_budget Decimal(18, 4),
    cost_per_impression Decimal(18, 8),
    total_conversions UInt64,
    conversion_value Decimal(18, 4),
    funnel_stage LowCardinality(String),
    cohorts Array(LowCardinality(String)),
    splits String CODEC(ZSTD(3)), -- JSON text
    vid_targets Array(UUID),
    audience_segments Array(LowCardinality(String)),
    audience_params String CODEC(ZSTD(3)), -- JSON text
    audience_metrics String CODEC(ZSTD(3)), -- JSON text
    interest String CODEC(ZSTD(3)), -- JSON text
    perf String CODEC(ZSTD(3)), -- JSON text
    -- experiment
    xid LowCardinality(String),
    xstatus Enum8('none' = 0, 'running' = 1, 'paused' = 2, 'completed' = 3),
    variants String CODEC(ZSTD(3)), -- JSON text
    variant_weights String CODEC(ZSTD(3)), -- JSON text
    winner_variant LowCardinality(String), -- '': none yet
    abz_enabled Bool,
    abz_status Enum8('none' = 0, 'running' = 1, 'paused' = 2, 'completed' = 3),
    abz_algorithm LowCardinality(String),
    abz_reward_metric LowCardinality(String),
    abz_reward_value Float64,
    abz_exploration_rate Float32,
    abz_learning_rate Float32,
    abz_start_time Nullable(DateTime64(3, 'UTC')), -- null: not begun
    abz_sample_size UInt64,
    abz_min_sample_size UInt64,
    abz_confidence_level Nullable(Float64), -- null: not computed yet
    abz_winner_threshold Float64,
    abz_auto_optimize Bool,
    abz_auto_stop Bool,
    abz_infinite_armed Bool,
    abz_params String CODEC(ZSTD(3)), -- JSON text
    abz_param_space String CODEC(ZSTD(3)), -- JSON text
    abz_model_type LowCardinality(String),
    abz_model_params String CODEC(ZSTD(3)), -- JSON text
    abz_acquisition_function LowCardinality(String),
    attribution_model LowCardinality(String),
    attribution_weight Float64,
    attribution_window UInt32, -- seconds
    attribution_params String CODEC(ZSTD(3)), -- JSON text
    -- compliance
    requires_consent Bool,
    consent_types Array(LowCardinality(String)),
    regional_compliance String CODEC(ZSTD(3)), -- JSON text
    frequency_caps String CODEC(ZSTD(3)), -- JSON text
    data_retention UInt16, -- days; 0: for ever
    -- content
    content_id UUID,
    content_version Int32,
    content_status Enum8('unknown' = 0, 'draft' = 1, 'review' = 2, 'approved' = 3, 'published' = 4, 'archived' = 5),
    content_intention LowCardinality(String),
    content_keywords Array(String),
    content_assumptions String CODEC(ZSTD(3)), -- JSON text
    content_metrics String CODEC(ZSTD(3)), -- JSON text
    content_approver Nullable(UUID),
    content_approval_date Nullable(Date), -- null: not approved
    content_creator UUID,
    content_editors Array(UUID),
    content_history Array(UUID),
    creator_id Nullable(UUID),
    creator_compensation Bool,
    creator_compensation_rate Decimal(18, 4), -- a thousand likes
    creator_compensation_model LowCardinality(String),
    creator_compensation_cap Decimal(18, 4),
    creator_notes String,
    text_normalized String CODEC(ZSTD(3)),
    text_tokens Array(String)
)
ENGINE = /*replicated*/ReplacingMergeTree(version)
ORDER BY (oid, org, tid)
SETTINGS non_replicated_deduplication_window = 1000;
