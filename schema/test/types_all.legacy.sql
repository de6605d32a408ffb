-- types_all for servers of 2018 (18.16), without the types they lack: Bool, Date32, DateTime64.
-- CREATE needs the setting allow_experimental_low_cardinality_type = 1; INSERT and SELECT do not.
CREATE TABLE IF NOT EXISTS types_all
(
    id UInt64,
    i8 Int8,
    i16 Int16,
    i32 Int32,
    i64 Int64,
    u8 UInt8,
    u16 UInt16,
    u32 UInt32,
    u64 UInt64,
    f32 Float32,
    f64 Float64,
    str String,
    fixed FixedString(3),
    uuid UUID,
    date Date,
    time DateTime('UTC'),
    time_ny DateTime('America/New_York'), -- has hours that come twice and hours that never come
    enum8 Enum8('none' = 0, 'low' = -128, 'high' = 127, 'it\'s' = 1, 'größe' = 2),
    enum16 Enum16('none' = 0, 'low' = -32768, 'high' = 32767, 'a b' = 300),
    dec32 Decimal32(4),
    dec64 Decimal64(6),
    dec128 Decimal128(10),
    dec_9_0 Decimal(9, 0),
    dec_18_18 Decimal(18, 18),
    n_i8 Nullable(Int8),
    n_i64 Nullable(Int64),
    n_u64 Nullable(UInt64),
    n_f64 Nullable(Float64),
    n_str Nullable(String),
    n_fixed Nullable(FixedString(3)),
    n_uuid Nullable(UUID),
    n_date Nullable(Date),
    n_time Nullable(DateTime('UTC')),
    n_enum8 Nullable(Enum8('a' = 1, 'b' = 2)),
    n_dec64 Nullable(Decimal64(4)),
    n_dec128 Nullable(Decimal128(20)),
    lc_str LowCardinality(String),
    lc_wide LowCardinality(String), -- so many values that the index outgrows a byte
    lc_n_str LowCardinality(Nullable(String)),
    lc_fixed LowCardinality(FixedString(3)),
    lc_u32 LowCardinality(UInt32),
    lc_date LowCardinality(Date),
    a_str Array(String),
    a_u64 Array(UInt64),
    a_f32 Array(Float32),
    a_uuid Array(UUID),
    a_time Array(DateTime('UTC')),
    a_dec64 Array(Decimal64(4)),
    a_n_i32 Array(Nullable(Int32)),
    a_n_str Array(Nullable(String)),
    a_lc_str Array(LowCardinality(String)),
    a_lc_n_str Array(LowCardinality(Nullable(String))),
    a_a_u8 Array(Array(UInt8)),
    a_enum8 Array(Enum8('a' = 1, 'b' = 2)),
    d_now DateTime('UTC') DEFAULT now(), -- never in the rows: the server's DEFAULT fills it
    d_len UInt64 DEFAULT length(str), -- a DEFAULT that reads another column
    m_hash UInt64 MATERIALIZED cityHash64(id), -- must not be sent at all
    al_text String ALIAS toString(id) -- is not stored at all
)
ENGINE = MergeTree()
ORDER BY id;
