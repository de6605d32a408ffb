import ClickHouseNative
import Testing

@testable import Pipeline

@Suite struct SchemaCatalogTests {
    private func read(_ files: [String: String]) -> (catalog: SchemaCatalog, errors: [String]) {
        var errors: [ConfigurationIssue] = []
        let catalog = SchemaCatalog(
            files: files.keys.sorted(), from: MemoryFiles(contents: files), errors: &errors)
        return (catalog, errors.map(\.description))
    }

    private func structure(_ sql: String, _ name: String = "t") throws -> TableStructure {
        let (catalog, errors) = read(["a.sql": sql])
        #expect(errors.isEmpty)
        return try catalog.structure(of: try #require(TableName(parsing: name)))
    }

    @Test func typesMadeOfPartsAreRead() throws {
        let table = try structure(
            """
            CREATE TABLE t
            (
                tu Tuple(a INT, `b c` Array(VARCHAR(20)), d Tuple(UInt8, DOUBLE PRECISION)),
                m Map(LowCardinality(String), Nullable(BIGINT)), n Nested(a UInt8, b String), i Int256, ip IPv6,
                v Variant(UInt8, Array(String)), j JSON(max_dynamic_paths = 8, a.b UInt8, SKIP c), jj JSON,
                s SimpleAggregateFunction(sum, UInt64), p Point, t Time64(3), d Decimal256(20)
            ) ENGINE = Memory
            """)
        #expect(
            table.columns.map { "\($0.definition.name) \($0.definition.type)" } == [
                "tu Tuple(a Int32, `b c` Array(String), d Tuple(UInt8, Float64))",
                "m Map(LowCardinality(String), Nullable(Int64))", "n.a Array(UInt8)", "n.b Array(String)", "i Int256",
                "ip IPv6", "v Variant(Array(String), UInt8)", "j JSON(max_dynamic_paths=8, a.b UInt8, SKIP c)",
                "jj JSON",
                "s SimpleAggregateFunction(sum, UInt64)", "p Point", "t Time64(3)", "d Decimal(76, 20)",
            ])
    }

    @Test func columnsKeepTheirOrderTypesAndDefaults() throws {
        let table = try structure(
            """
            -- what the tracker writes
            SET allow_x = 1;
            CREATE DATABASE IF NOT EXISTS analytics;
            /* the
               table */
            CREATE TABLE IF NOT EXISTS analytics.`t` ON CLUSTER '{cluster}'
            (
                `id` UUID DEFAULT generateUUIDv4() COMMENT 'it''s; an id',
                created DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)) TTL created + INTERVAL 1 DAY,
                kind LowCardinality(String) DEFAULT '' SETTINGS (max_compress_block_size = 1),
                note String NULL, -- may be missing
                level Enum8('low' = 1, 'high' = 2) DEFAULT 'low',
                "tags" Array(LowCardinality(Nullable(String))),
                count UInt64 NOT NULL DEFAULT 0,
                size Decimal(18, 4) DEFAULT if(count > 0, 1, 2),
                day Date MATERIALIZED toDate(created),
                upper String ALIAS upper(kind),
                raw String EPHEMERAL,
                INDEX by_kind kind TYPE set(100) GRANULARITY 4,
                CONSTRAINT positive CHECK count >= 0,
                PROJECTION p (SELECT kind, count() GROUP BY kind),
                PRIMARY KEY (id)
            )
            ENGINE = ReplacingMergeTree(created) ORDER BY (id) SETTINGS index_granularity = 8192;
            INSERT INTO x VALUES ('CREATE TABLE nope (a Int8)');
            """, "analytics.t")
        let expected: [(String, DataType, TableStructure.Default)] = [
            ("id", .uuid, .expression("generateUUIDv4()")),
            ("created", .dateTime64(precision: 3, timeZone: "UTC"), .expression("now64(3)")),
            ("kind", .lowCardinality(.string), .type),
            ("note", .nullable(.string), .type),
            ("level", try DataType(parsing: "Enum8('low' = 1, 'high' = 2)"), .type),
            ("tags", .array(.lowCardinality(.nullable(.string))), .type),
            ("count", .uint64, .type),
            ("size", .decimal(precision: 18, scale: 4), .expression("if(count > 0, 1, 2)")),
            ("raw", .string, .expression("defaultValueOfTypeName('String')")),
        ]
        #expect(
            table.columns
                == expected.map { .init(ColumnDefinition(name: $0.0, type: $0.1), defaultValue: $0.2) })
        #expect(table.computedColumns == ["day", "upper"])
    }

    @Test func columnsMayHaveTheNamesOfKeywords() throws {
        let table = try structure(
            """
            create table t (
                index UInt32, projection String, comment String DEFAULT 'x', primary UInt8,
                codec String, ttl UInt32 DEFAULT length(comment) comment 'about comment', constraint String
            ) engine = Null
            """)
        #expect(
            table.columns.map(\.definition.name) == [
                "index", "projection", "comment", "primary", "codec", "ttl", "constraint",
            ])
        #expect(table.columns[5].defaultValue == .expression("length(comment)"))
    }

    @Test func nestedNamesCommentsAndEscapesAreRead() throws {
        let table = try structure(
            "CREATE TABLE t (n.a Array(UInt8), `b``c` String DEFAULT 'x\\'y' /* c */ , d Int8 # note\n)")
        #expect(table.columns.map(\.definition.name) == ["n.a", "b`c", "d"])
        #expect(table.columns[1].defaultValue == .expression("'x\\'y'"))
    }

    @Test(arguments: [
        ("UInt8", "0", true), ("Float64", "0.0", true), ("UInt8", "1", false), ("String", "''", true),
        ("String", "'x'", false), ("Bool", "false", true), ("Array(String)", "[]", true),
        ("Nullable(UInt8)", "NULL", true),
        ("Nullable(UInt8)", "0", false), ("UUID", "'00000000-0000-0000-0000-000000000000'", true),
        ("DateTime64(3)", "toDateTime64(0, 3)", true), ("DateTime", "0", true), ("DateTime", "now()", false),
        ("Date32", "0", false), ("Enum8('b' = 2, 'a' = 1)", "'a'", true), ("Enum8('b' = 2, 'a' = 1)", "'b'", false),
        ("LowCardinality(String)", "''", true), ("Decimal(9, 2)", "0", true),
    ])
    func aDefaultThatSaysNothingNewIsTheTypesOwn(_ type: String, _ expression: String, _ isOwn: Bool) throws {
        let table = try structure("CREATE TABLE t (a \(type) DEFAULT \(expression))")
        #expect(table.columns[0].defaultValue == (isOwn ? .type : .expression(expression)))
    }

    // What ClickHouse 26.9 says of these in DESCRIBE.
    @Test(arguments: [
        ("INT(11)", "Int32"), ("int unsigned", "UInt32"), ("VARCHAR(10)", "String"), ("decimal", "Decimal(10, 0)"),
        ("Decimal(5)", "Decimal(5, 0)"), ("dec(5,2)", "Decimal(5, 2)"), ("Decimal32(4)", "Decimal(9, 4)"),
        ("Nullable(Decimal64(3))", "Nullable(Decimal(18, 3))"), ("double precision", "Float64"),
        ("Enum('a', 'b')", "Enum8('a' = 1, 'b' = 2)"), ("Enum('it''s' = -5, 'b')", "Enum8('it\\'s' = -5, 'b' = -4)"),
        ("Enum('a' = 1000)", "Enum16('a' = 1000)"),
        ("Enum8('b' = 2, 'a' = -1)", "Enum8('a' = -1, 'b' = 2)"), ("timestamp", "DateTime"),
        ("BINARY(3)", "FixedString(3)"),
        ("Array(Nullable(boolean))", "Array(Nullable(Bool))"), ("DateTime64( 3 , 'UTC' )", "DateTime64(3, 'UTC')"),
        ("INT NULL", "Nullable(Int32)"),
    ])
    func typesMayBeWrittenAsInOtherDatabases(_ written: String, _ name: String) throws {
        let table = try structure("CREATE TABLE t (a \(written) DEFAULT f())")
        #expect(table.columns[0].definition.type == (try DataType(parsing: name)))
    }

    @Test func tablesAreFoundWithAndWithoutTheirDatabase() throws {
        let (catalog, errors) = read([
            "a.sql": "USE one; CREATE TABLE t (a Int8); CREATE TABLE two.t (b Int8); CREATE TABLE two.u (c Int8);"
                + "CREATE TABLE v (d Int8); CREATE TABLE two.w AS two.u ENGINE = Distributed(c, two, u);"
                + "CREATE MATERIALIZED VIEW m (a Int8) AS SELECT 1; CREATE TEMPORARY TABLE tmp (a Int8);"
        ])
        #expect(errors.isEmpty)
        #expect(catalog.tables.map(\.description) == ["one.t", "two.t", "two.u", "one.v", "two.w"])
        #expect(try catalog.structure(of: TableName(table: "u")).columns.map(\.definition.name) == ["c"])
        #expect(try catalog.structure(of: TableName(table: "w")).columns.map(\.definition.name) == ["c"])
        #expect(try catalog.structure(of: TableName(database: "one", table: "t")).columns[0].definition.name == "a")
        #expect {
            _ = try catalog.structure(of: TableName(table: "t"))
        } throws: {
            "\($0)" == "table t: several databases have it: one.t, two.t"
        }
        #expect {
            _ = try catalog.structure(of: TableName(database: "three", table: "u"))
        } throws: {
            "\($0)" == "table three.u: no schema file creates it"
        }
    }

    @Test(arguments: [
        ("CREATE TABLE t (a Int8,\n  b,\n c Int8)", "a.sql:2:4: column b has no type"),
        ("CREATE TABLE t (a Int8, a Int8)", "a.sql:1:25: column a stands twice"),
        ("CREATE TABLE t (a Int8", "a.sql:1:23: the list of columns has no end"),
        ("CREATE TABLE t (é String, a String bad)", "a.sql:1:29: table t: column a: "),
        ("CREATE TABLE t (a Int8 DEFAULT)", "a.sql:1:31: DEFAULT of column a has no expression"),
        (
            "CREATE TABLE t (a Int8); CREATE TABLE t (a Int8)",
            "a.sql:1:39: table t is created twice, first at a.sql:1:14"
        ),
        ("CREATE TABLE t (a Enum('a' = 9223372036854775807, 'b'))", "a.sql:1:19: table t: column a: "),
        ("CREATE TABLE (a Int8)", "a.sql:1:14: expected the name of a table"),
        ("CREATE TABLE t ENGINE = Memory", "a.sql:1:14: expected the columns of table t in parentheses"),
        ("CREATE TABLE t AS u", "a.sql:1:14: table t is a copy of u, which no schema file creates before"),
        ("SELECT 1;\n/* x", "a.sql:2:1: the comment has no end"),
        ("SELECT 'x", "a.sql:1:8: the string has no end"),
        ("CREATE TABLE `t (a Int8)", "a.sql:1:14: the quoted name has no end"),
    ])
    func anErrorSaysWhereAndWhat(_ sql: String, _ message: String) {
        let errors = read(["a.sql": sql]).errors
        #expect(errors.count == 1)
        // What the data types' parser says is its own business.
        #expect(errors.first?.hasPrefix(message) == true, "\(errors)")
    }

    @Test func aTypeThatIsNotKnownConcernsItsTableAlone() throws {
        let (catalog, errors) = read([
            "a.sql": "CREATE TABLE t (a Int8, g Geometry2); CREATE TABLE u (a Int8)"
        ])
        #expect(errors.isEmpty)
        #expect(catalog.unsupported.map(\.code) == [.unsupportedType])
        #expect(catalog.unsupported.first?.description.hasPrefix("a.sql:1:27: table t: column g: ") == true)
        #expect(catalog.unsupported.first?.description.contains("Geometry2") == true)
        #expect(try catalog.structure(of: TableName(table: "u")).columns.count == 1)
        do throws(CatalogError) {
            _ = try catalog.structure(of: TableName(table: "t"))
            Issue.record("a table of an unknown type was found")
        } catch { #expect(error.code == .unsupportedType) }
    }
}
