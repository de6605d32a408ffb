-- As queries.sql, with what 18.16 does not know or needs a setting for.
bools	SELECT CAST(number % 2, 'Bool') AS b FROM numbers(4)
dates_wide	SELECT toDate32('1900-01-01') + number * 50000 AS d32, toDateTime64('2024-02-29 12:34:56.789', 3, 'UTC') AS ms, toDateTime64('1969-12-31 23:59:59.123456789', 9, 'Europe/Berlin') AS ns, toDateTime64('2024-01-01 00:00:00', 0) AS s FROM numbers(3)
low_cardinality	SELECT toLowCardinality(toString(number % 3)) AS s, toLowCardinality(number % 2 ? NULL : toString(number % 5)) AS ns, CAST(toFixedString(toString(number % 2), 2), 'LowCardinality(FixedString(2))') AS fs FROM numbers(10)
low_cardinality_wide	SELECT toLowCardinality(toString(number)) AS s FROM numbers(300)
low_cardinality_256	SELECT toLowCardinality(toString(number)) AS s FROM numbers(255)
low_cardinality_257	SELECT toLowCardinality(toString(number)) AS s FROM numbers(256)
low_cardinality_number	SELECT CAST(number % 4, 'LowCardinality(UInt32)') AS u, CAST(number % 3 ? number % 3 : NULL, 'LowCardinality(Nullable(UInt16))') AS nu FROM numbers(10) SETTINGS allow_suspicious_low_cardinality_types = 1
array_low_cardinality	SELECT arrayMap(x -> toLowCardinality(toString(x % 3)), range(number)) AS a FROM numbers(5)
array_low_cardinality_empty	SELECT CAST([], 'Array(LowCardinality(String))') AS a FROM numbers(3)
array_low_cardinality_nullable	SELECT CAST(arrayMap(x -> x % 2 ? NULL : toString(x), range(number)), 'Array(LowCardinality(Nullable(String)))') AS a FROM numbers(5)
nullable_enum	SELECT CAST(number % 2 ? 'b' : NULL, 'Nullable(Enum8(\'a\' = 5, \'b\' = 7))') AS e FROM numbers(4)
