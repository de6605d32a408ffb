import ClickHouseNative
import Foundation
import NIOCore
import Pipeline
import SluiceClient
import TestSupport
import Testing

/// Every input format from the socket to the server: what lands, what is rejected, and by which number.
@Suite(.serialized) struct FormatTests {
    private static let create = """
        CREATE TABLE f (id UInt64, name String, at DateTime('UTC'), price Decimal(18, 4), tags Array(LowCardinality(String)),
        note Nullable(String), kind Enum8('a' = 1, 'b' = 2), made UInt8 DEFAULT id % 7) ENGINE = MergeTree ORDER BY id
        """

    private struct Sending: Sendable {
        let format: SluiceFormat
        let frames: [(payload: [UInt8], rows: Int)]
        /// `number reason column`.
        let refused: [String]
    }

    private static func run(
        _ sendings: [Sending], rules: [String: TableRules] = [:], _ create: String = create,
        select: String = "id, name, at, price, tags, note, kind, made", on kind: ClickHouseServer.Kind = .modern
    ) async throws -> String {
        let server = try await ClickHouseServer.of(kind)
        return try await server.withDatabase { database in
            try await server.query(create, database: database)
            return try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.rules = rules
                let telemetry = try await DaemonFixture.run(settings, in: folder) { fixture in
                    for sending in sendings {
                        var configuration = SluiceProducerConfiguration(
                            socketPath: fixture.socketPath, ack: .committed, table: "f")
                        configuration.format = sending.format
                        let heard = Heard()
                        let producer = SluiceProducer(configuration) { heard.note($0) }
                        for (payload, rows) in sending.frames {
                            try await producer.send(ByteBuffer(bytes: payload), rows: rows)
                        }
                        try await producer.close()
                        #expect(heard.rejections == sending.refused, "\(sending.format.name)")
                    }
                    return fixture.daemon.telemetry
                }
                let flow = telemetry.snapshot().conservation
                #expect(flow.accepted == flow.committed + flow.discarded && flow.inFlight == 0)
                return try await server.query("SELECT \(select) FROM f ORDER BY id", database: database)
            }
        }
    }

    private final class Heard: Sendable {
        private let list = Recorder<SluiceEvent>()
        func note(_ event: SluiceEvent) { list.record(event) }
        var rejections: [String] {
            list.values.compactMap { event in
                guard case .rejected(let row) = event else { return nil }
                return "\(row.row) \(row.reason) \(row.column ?? "-")"
            }
        }
    }

    private static func text(_ rows: [String]) -> [UInt8] { Array(rows.map { $0 + "\n" }.joined().utf8) }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func textLandsAsItSays() async throws {
        let stored = try await Self.run([
            Sending(
                format: SluiceFormat("CSV"),
                frames: [
                    (
                        Self.text([
                            #"1,"a ""b"", c",2024-02-29 12:34:56,1.5,"['x','y\'z']",\N,a,3"#, "2,b,notatime,1,[],,b,",
                            #"3,"two"#, #"lines",1700000000,-0.00019,"[]","",b,"#,
                        ]), 3
                    )
                ], refused: ["2 type_mismatch at"]),
            Sending(
                format: SluiceFormat("CSV", columns: ["kind", "id"], delimiter: ";"),
                frames: [(Self.text(["b;4", "c;5"]), 2)],
                refused: ["2 unknown_enum_value kind"]),
            Sending(
                format: SluiceFormat("TSVWithNames"),
                frames: [
                    (Self.text(["id\tname\tnote", "6\tt\\tab\\\\\t\\N", "7\t\t\\\\N"]), 2),
                    (Self.text(["note\tid", "x\t8"]), 1),
                ], refused: []),
        ])
        #expect(
            stored == """
                1\ta "b", c\t2024-02-29 12:34:56\t1.5\t['x','y\\'z']\t\\N\ta\t3
                3\ttwo\\nlines\t2023-11-14 22:13:20\t-0.0001\t[]\t\tb\t3
                4\t\t1970-01-01 00:00:00\t0\t[]\t\\N\tb\t4
                6\tt\\tab\\\\\t1970-01-01 00:00:00\t0\t[]\t\\N\ta\t6
                7\t\t1970-01-01 00:00:00\t0\t[]\t\\\\N\ta\t0
                8\t\t1970-01-01 00:00:00\t0\t[]\tx\ta\t1

                """)
    }

    /// `id`, `name`, `kind`, as RowBinary has them.
    private static func binary(_ id: UInt64, _ name: String, _ kind: UInt8) -> [UInt8] {
        withUnsafeBytes(of: id.littleEndian) { Array($0) } + [UInt8(name.utf8.count)] + Array(name.utf8) + [kind]
    }

    private static func header(_ names: [String], _ types: [String]) -> [UInt8] {
        [UInt8(names.count)] + (names + types).flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func binaryRowsLandAndABadOneCostsWhatItMust() async throws {
        let types = ["UInt64", "String", "Enum8('a' = 1, 'b' = 2)"]
        let stored = try await Self.run(
            [
                Sending(
                    format: SluiceFormat("RowBinaryWithNamesAndTypes"),
                    frames: [
                        // A number that is no member costs its own row.
                        (
                            Self.header(["id", "name", "kind"], types) + Self.binary(1, "one", 1)
                                + Self.binary(2, "two", 9)
                                + Self.binary(3, "three", 2), 3
                        ),
                        // A length beyond the frame costs those behind it, too.
                        (
                            Self.header(["id", "name", "kind"], types) + Self.binary(4, "four", 1)
                                + [5, 0, 0, 0, 0, 0, 0, 0, 99, 1] + Self.binary(6, "six", 1), 3
                        ),
                        (Self.header(["id", "name", "kind"], types) + Self.binary(7, "seven", 1), 2),
                        // Other types, which fit where nothing is lost.
                        (
                            Self.header(["id", "made"], ["String", "Int64"]) + [2, 0x31, 0x30] + [
                                200, 0, 0, 0, 0, 0, 0, 0,
                            ], 1
                        ),
                        (
                            Self.header(["id", "made"], ["String", "Int64"]) + [2, 0x31, 0x31] + [
                                0, 1, 0, 0, 0, 0, 0, 0,
                            ], 1
                        ),
                        // NULL for a column that cannot hold one, with a DEFAULT and without.
                        (
                            Self.header(["id", "made", "name"], ["UInt64", "Nullable(UInt8)", "Nullable(String)"])
                                + [12, 0, 0, 0, 0, 0, 0, 0, 1, 1] + [13, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0x78], 2
                        ),
                        (Self.header(["id", "nothing"], ["UInt64", "UInt8"]) + [14, 0, 0, 0, 0, 0, 0, 0, 5], 1),
                    ],
                    refused: [
                        "2 unknown_enum_value kind", "5 malformed_row -", "6 unreadable_rest -",
                        "7 row_count_mismatch -",
                        "8 row_count_mismatch -", "10 type_mismatch made",
                    ])
            ], select: "id, name, kind, made")
        #expect(
            stored == """
                1\tone\ta\t1
                3\tthree\tb\t3
                4\tfour\ta\t4
                10\t\ta\t200
                12\t\ta\t5
                13\tx\ta\t9
                14\t\ta\t0

                """)
    }

    /// A block of columns `id` and `name`, as ClickHouse writes one.
    private static func native(_ rows: [(id: UInt64, name: String)], nameType: String = "String") -> [UInt8] {
        var bytes: [UInt8] = [2, UInt8(rows.count), 2] + Array("id".utf8) + [6] + Array("UInt64".utf8)
        for row in rows { bytes += withUnsafeBytes(of: row.id.littleEndian) { Array($0) } }
        bytes += [4] + Array("name".utf8) + [UInt8(nameType.utf8.count)] + Array(nameType.utf8)
        for row in rows { bytes += [UInt8(row.name.utf8.count)] + Array(row.name.utf8) }
        return bytes
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func blocksLandBareAndCompressed() async throws {
        let bare = Self.native([(1, "a"), (2, "b")]) + Self.native([(3, "c")])
        var block = ByteBuffer(bytes: Self.native([(4, "d"), (5, "e")]))
        let read = try #require(try BlockReader.read(&block, revision: nil))
        let packed = try [Compression.lz4, .zstd(level: 3), Compression.none].map { method in
            Array(
                try BlockEncoder.encode([read], as: BlockEncoding(revision: nil, compression: method)).body
                    .readableBytesView)
        }
        var frames: [(payload: [UInt8], rows: Int)] = [(bare, 3)]
        for bytes in packed { frames.append((bytes, 2)) }
        frames.append((bare + bare.dropLast(2), 6))
        frames.append((bare, 2))
        frames.append((Array(bare.dropFirst()), 1))
        frames.append(([], 3))
        // Another type, which fits.
        frames.append((Self.native([(6, "f")], nameType: "FixedString(1)").dropLast(2) + [0x66], 1))
        let stored = try await Self.run(
            [
                Sending(
                    format: SluiceFormat("Native"), frames: frames,
                    refused: [
                        "15 malformed_row -", "16 row_count_mismatch -", "17 row_count_mismatch -",
                        "18 malformed_row -",
                    ])
            ], select: "id, name")
        let ids = stored.split(separator: "\n").map { $0.split(separator: "\t").prefix(2).joined() }
        #expect(ids.count == 15)
        #expect(ids.last == "6f")
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func rulesCountForEveryFormat() async throws {
        var rules = TableRules()
        var name = FieldRules()
        name.redaction.method = .drop
        rules.fields["name"] = name
        var id = FieldRules()
        id.required = true
        rules.fields["id"] = id
        let types = ["UInt64", "String", "Enum8('a' = 1, 'b' = 2)"]
        let stored = try await Self.run(
            [
                Sending(
                    format: SluiceFormat("CSV", columns: ["id", "name"]),
                    frames: [(Self.text(["1,secret", ",secret"]), 2)], refused: ["2 rule_required id"]),
                Sending(
                    format: SluiceFormat("RowBinaryWithNamesAndTypes"),
                    frames: [(Self.header(["id", "name", "kind"], types) + Self.binary(3, "secret", 1), 1)], refused: []
                ),
                Sending(
                    format: SluiceFormat("Native"), frames: [(Self.native([(4, "secret"), (5, "secret")]), 2)],
                    refused: []),
            ], rules: ["f": rules], select: "id, name")
        #expect(stored == "1\t\n3\t\n4\t\n5\t\n")
    }

    /// Of 2018: types are the table's, whoever reads the format.
    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.legacy) })
    func everyFormatLandsOnAnOldServer() async throws {
        let create = """
            CREATE TABLE f (id UInt64, name String, kind Enum8('a' = 1, 'b' = 2), at DateTime('UTC'),
            price Decimal(18, 4), tags Array(String), note Nullable(String), made UInt8 DEFAULT id % 7)
            ENGINE = MergeTree ORDER BY id
            """
        let names = ["id", "name", "kind", "at", "price", "tags", "note"]
        let types = [
            "UInt64", "String", "Enum8('a' = 1, 'b' = 2)", "DateTime('UTC')", "Decimal(18, 4)", "Array(String)",
            "Nullable(String)",
        ]
        // 2024-02-29 12:34:56, -1.5, ['x', ''], and a note or none.
        let rest: [UInt8] =
            [0xF0, 0x79, 0xE0, 0x65, 0x68, 0xC5] + [UInt8](repeating: 0xFF, count: 6) + [2, 1, 0x78, 0]
        let row = { Self.binary($0, "bin", 2) + rest + [1] }
        let text = "2024-02-29 12:34:56"
        let stored = try await Self.run(
            [
                Sending(
                    format: SluiceFormat("CSV"),
                    frames: [
                        (Self.text([#"1,"a, b",a,\#(text),-1.5,"['x','']",\N,7"#, "2,b,z,\(text),1,[],,"]), 2)
                    ], refused: ["2 unknown_enum_value kind"]),
                Sending(
                    format: SluiceFormat("TSVWithNamesAndTypes"),
                    frames: [
                        (
                            Self.text([
                                "id\tnote\ttags", "UInt64\tNullable(String)\tArray(String)", "3\t\\N\t['x','\\'']",
                            ]), 1
                        )
                    ], refused: []),
                Sending(
                    format: SluiceFormat("RowBinary"),
                    // A row of the table has all of its columns.
                    frames: [(row(4) + [9] + Self.binary(5, "bin", 1) + rest + [0, 1, 0x79, 8], 2)], refused: []),
                Sending(
                    format: SluiceFormat("RowBinaryWithNamesAndTypes"),
                    frames: [
                        (Self.header(names, types) + row(6), 1),
                        (Self.header(["id", "name", "kind"], Array(types.prefix(3))) + Self.binary(7, "odd", 9), 1),
                    ], refused: ["2 unknown_enum_value kind"]),
                Sending(
                    format: SluiceFormat("Native"), frames: [(Self.native([(8, "eight"), (9, "nine")]), 2)], refused: []
                ),
            ], create, select: "id, name, kind, at, price, tags, note, made", on: .legacy)
        #expect(
            stored == """
                1\ta, b\ta\t2024-02-29 12:34:56\t-1.5000\t['x','']\t\\N\t7
                3\t\ta\t0000-00-00 00:00:00\t0.0000\t['x','\\'']\t\\N\t3
                4\tbin\tb\t2024-02-29 12:34:56\t-1.5000\t['x','']\t\\N\t9
                5\tbin\ta\t2024-02-29 12:34:56\t-1.5000\t['x','']\ty\t8
                6\tbin\tb\t2024-02-29 12:34:56\t-1.5000\t['x','']\t\\N\t6
                8\teight\ta\t0000-00-00 00:00:00\t0.0000\t[]\t\\N\t1
                9\tnine\ta\t0000-00-00 00:00:00\t0.0000\t[]\t\\N\t2

                """)
    }
}
