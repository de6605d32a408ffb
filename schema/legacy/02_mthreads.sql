-- For servers of 2018 (18.16): DateTime for DateTime64, UInt8 for Bool, plain strings, no codecs.
--
-- mthreads: threads of messages and the experiments on them. Rows are updated: the row with the highest `version`
-- stands, so read with FINAL or argMax. An update repeats the whole row.
--
-- Not partitioned: merges replace rows within one partition only, and threads are few. The key is what never changes.
CREATE TABLE IF NOT EXISTS mthreads /*on_cluster*/
(
    -- identity and time
    tid UUID,
    oid UUID,
    org String,
    parent_tid Nullable(UUID), -- null: no variant of another thread
    created_at DateTime('UTC'),
    updated_at DateTime('UTC') DEFAULT now(),
    version UInt64 DEFAULT toUInt64(updated_at) * 1000, -- a producer that counts its updates may send its own
    deleted_at Nullable(DateTime('UTC')), -- null: it lives
    owner UUID,
    uid Nullable(UUID),
    vid Nullable(UUID),
    updater UUID,
    -- what it is
    alias String,
    name String,
    post String,
    app String,
    rel String,
    ver Int32,
    ptyp String,
    etyp String,
    ename String,
    auth_name String,
    cats Array(String),
    mtypes Array(String), -- ways of delivery: email, sms, push ...
    fmtypes Array(String), -- when those fail
    cmtypes Array(String), -- of the child messages
    ddata String, -- JSON text
    mtempl String, -- JSON text
    mcert_id UUID,
    urgency Int32,
    sys UInt8,
    ephemeral Nullable(UInt32), -- seconds to live; null: for ever
    archived UInt8,
    broadcast UInt8,
    derive UInt8,
    -- who may
    admins Array(UUID),
    subs Array(UUID),
    pubs Array(UUID),
    sent Array(UUID),
    outs Array(UUID),
    perms_ids Array(UUID),
    opens UInt8,
    openp UInt8,
    prefs String, -- JSON text
    ftrack UInt8,
    strack UInt8,
    -- campaign
    campaign String,
    campaign_id String,
    campaign_phase String,
    campaign_priority Int32,
    campaign_budget_allocation Decimal(18, 4),
    campaign_status Enum8(
        'unknown' = 0, 'draft' = 1, 'scheduled' = 2,
        'active' = 3, 'paused' = 4, 'completed' = 5, 'cancelled' = 6
    ),
    source String,
    svc String,
    medium String,
    term String,
    promo String,
    ref Nullable(UUID),
    aff String,
    provider String,
    provider_campaign_id String,
    provider_account_id String,
    provider_metrics String, -- JSON text
    provider_cost Decimal(18, 4),
    provider_status String,
    -- reach
    planned_impressions UInt64,
    actual_impressions UInt64,
    impression_goal UInt64,
    impression_budget Decimal(18, 4),
    cost_per_impression Decimal(18, 8),
    total_conversions UInt64,
    conversion_value Decimal(18, 4),
    funnel_stage String,
    cohorts Array(String),
    splits String, -- JSON text
    vid_targets Array(UUID),
    audience_segments Array(String),
    audience_params String, -- JSON text
    audience_metrics String, -- JSON text
    interest String, -- JSON text
    perf String, -- JSON text
    -- experiment
    xid String,
    xstatus Enum8('none' = 0, 'running' = 1, 'paused' = 2, 'completed' = 3),
    variants String, -- JSON text
    variant_weights String, -- JSON text
    winner_variant String, -- '': none yet
    abz_enabled UInt8,
    abz_status Enum8('none' = 0, 'running' = 1, 'paused' = 2, 'completed' = 3),
    abz_algorithm String,
    abz_reward_metric String,
    abz_reward_value Float64,
    abz_exploration_rate Float32,
    abz_learning_rate Float32,
    abz_start_time Nullable(DateTime('UTC')), -- null: not begun
    abz_sample_size UInt64,
    abz_min_sample_size UInt64,
    abz_confidence_level Nullable(Float64), -- null: not computed yet
    abz_winner_threshold Float64,
    abz_auto_optimize UInt8,
    abz_auto_stop UInt8,
    abz_infinite_armed UInt8,
    abz_params String, -- JSON text
    abz_param_space String, -- JSON text
    abz_model_type String,
    abz_model_params String, -- JSON text
    abz_acquisition_function String,
    attribution_model String,
    attribution_weight Float64,
    attribution_window UInt32, -- seconds
    attribution_params String, -- JSON text
    -- compliance
    requires_consent UInt8,
    consent_types Array(String),
    regional_compliance String, -- JSON text
    frequency_caps String, -- JSON text
    data_retention UInt16, -- days; 0: for ever
    -- content
    content_id UUID,
    content_version Int32,
    content_status Enum8('unknown' = 0, 'draft' = 1, 'review' = 2, 'approved' = 3, 'published' = 4, 'archived' = 5),
    content_intention String,
    content_keywords Array(String),
    content_assumptions String, -- JSON text
    content_metrics String, -- JSON text
    content_approver Nullable(UUID),
    content_approval_date Nullable(Date), -- null: not approved
    content_creator UUID,
    content_editors Array(UUID),
    content_history Array(UUID),
    creator_id Nullable(UUID),
    creator_compensation UInt8,
    creator_compensation_rate Decimal(18, 4), -- a thousand likes
    creator_compensation_model String,
    creator_compensation_cap Decimal(18, 4),
    creator_notes String,
    text_normalized String,
    text_tokens Array(String)
)
ENGINE = /*replicated*/ReplacingMergeTree(version)
ORDER BY (oid, org, tid);
