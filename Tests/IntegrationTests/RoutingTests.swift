import Foundation
import Pipeline
import TestSupport
import Testing

/// Which table a row goes to, and what the server fills in.
@Suite(.serialized) struct RoutingTests {
    private func landed(
        _ inputs: [String], defaultTable: String? = nil, change: (inout Settings) -> Void = { _ in },
        queries: [String]
    ) async throws -> (answers: [String], letters: [DeadLetterLine]) {
        let server = try await ClickHouseServer.modern()
        return try await server.withDatabase { database in
            try await server.createTables(in: database)
            return try await withFolder { folder in
                var settings = DaemonFixture.settings(in: folder, server: server, database: database)
                settings.validate.defaultTable = defaultTable
                change(&settings)
                try await DaemonFixture.run(settings, in: folder) { fixture in
                    let path = fixture.socketPath
                    try await blocking {
                        for input in inputs {
                            let producer = try Producer(path)
                            try producer.send(input)
                            try producer.finish()
                        }
                    }
                }
                var answers: [String] = []
                for query in queries { answers.append(try await server.query(query, database: database)) }
                return (answers, try DaemonFixture.deadLetters(in: folder))
            }
        }
    }

    private func message(_ seq: Int, _ more: String = "") -> String {
        #"{"seq":\#(seq),"created_at":"2026-01-01 00:00:00"\#(more)}"#
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func rowsFindTheirTableByFieldByFirstLineOrByDefault() async throws {
        let inputs = [
            // By field, at the front and at the end, tables in turns; one table that nobody has.
            (0..<50).map { number in
                number % 2 == 0
                    ? #"{"table":"types_all","id":\#(number)}"# : #"{"seq":\#(number),"msg":"x","table":"mstore"}"#
            }.joined(separator: "\n") + "\n" + #"{"table":"no_such_table","seq":1}"# + "\n"
                + #"{"id":100,"table":"types_all"}"#,
            // By the first line, which a field overrules.
            "#sluice table=types_all\n" + #"{"id":200}"# + "\n" + #"{"id":201}"# + "\n"
                + message(202, #","table":"mstore""#),
            // By default.
            message(300),
            // What is no value of the default table's column may be one of the named table's.
            #"{"id":400,"str":"a","seq":"not a number","table":"types_all"}"#,
        ]
        let (answers, letters) = try await landed(
            inputs, defaultTable: "mstore",
            queries: ["SELECT count(), sum(id) FROM types_all", "SELECT count(), sum(seq) FROM mstore"])
        let even = (0..<50).filter { $0 % 2 == 0 }.reduce(0, +)
        let odd = (0..<50).filter { $0 % 2 == 1 }.reduce(0, +)
        #expect(answers == ["\(25 + 4)\t\(even + 100 + 200 + 201 + 400)\n", "\(25 + 2)\t\(odd + 202 + 300)\n"])
        #expect(letters.map(\.reason) == ["unknown_table"])
        #expect(letters.first?.table == "no_such_table")
        #expect(letters.first?.row == #"{"table":"no_such_table","seq":1}"#)
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func rowsThatNameNoTableAreRejectedWhereThereIsNoDefault() async throws {
        let (answers, letters) = try await landed(
            [message(1) + "\n" + message(2, #","table":"mstore""#) + "\n" + message(3)],
            queries: ["SELECT groupArray(seq) FROM mstore"])
        #expect(answers == ["[2]\n"])
        #expect(letters.map(\.reason) == ["no_table", "no_table"])
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func theServerFillsInWhatRowsLeaveOut() async throws {
        let given = #","received_at":"2020-02-02 02:02:02.222""#
        let lines = (0..<100).map { message($0, $0 % 3 == 0 ? given : $0 % 3 == 1 ? #","received_at":null"# : "") }
        let (answers, letters) = try await landed(
            [lines.joined(separator: "\n")], defaultTable: "mstore",
            queries: [
                "SELECT count(), uniqExact(seq) FROM mstore",
                "SELECT countIf(received_at = toDateTime64('2020-02-02 02:02:02.222', 3, 'UTC')) FROM mstore",
                "SELECT countIf(abs(dateDiff('second', received_at, now64(3))) < 300) FROM mstore",
                "SELECT countIf(seq % 3 = 0 AND toYear(received_at) = 2020) FROM mstore",
            ])
        #expect(letters.isEmpty)
        #expect(answers == ["100\t100\n", "34\n", "66\n", "34\n"])
    }

    @Test(.endsEvenIfItHangs, .enabled { await ClickHouseServer.isAvailable(.modern) })
    func settingsOfTheInputAreHonoured() async throws {
        let lines = [message(1), message(2, #","nobody_knows":1"#), message(3, #","svc":null"#)].joined(separator: "\n")
        let (answers, letters) = try await landed(
            [lines], defaultTable: "mstore",
            change: {
                $0.validate.input.nullAsDefault = false
                $0.validate.input.skipUnknownFields = false
            }, queries: ["SELECT groupArray(seq) FROM mstore"])
        #expect(answers == ["[1]\n"])
        #expect(letters.map(\.reason) == ["unknown_field", "null_not_allowed"])
    }
}
