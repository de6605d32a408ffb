import ClickHouseNative
import Logging
import NIOCore
import Pipeline
import Synchronization
import TestSupport
import Testing

@testable import Ingest

/// Tables that change while rows of them are read.
@Suite(.endsEvenIfItHangs) struct StructureFollowingTests {
    private static let table = TableName(table: "t")

    /// A catalog whose table changes when the test says so; what was told is remembered until it is asked anew.
    private final class Catalog: TableCatalog {
        let changes = StructureChanges()
        let asked = Mutex(0)
        /// Whoever asks waits until he gives up.
        let isSilent = Mutex(false)
        private let state: Mutex<(told: TableStructure?, now: TableStructure?)>

        init(_ columns: [(String, String)]) throws { state = Mutex((nil, try Self.structure(columns))) }

        static func structure(_ columns: [(String, String)]) throws -> TableStructure {
            TableStructure(
                columns: try columns.map {
                    TableStructure.Column(ColumnDefinition(name: $0.0, type: try DataType(parsing: $0.1)))
                })
        }

        func alter(_ columns: [(String, String)]?) throws {
            let structure = try columns.map(Self.structure)
            state.withLock { $0.now = structure }
        }

        func structure(of table: TableName) async throws -> TableStructure {
            if let told = state.withLock({ $0.told }) { return told }
            return try await refresh(table)
        }

        func refresh(_ table: TableName) async throws -> TableStructure {
            asked.withLock { $0 += 1 }
            while isSilent.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
            let (hasChanged, now) = state.withLock { state in
                defer { state.told = state.now }
                return (state.told != state.now, state.now)
            }
            if hasChanged { changes.note() }
            guard let now else { throw CatalogError(.unknownTable, table: table, message: "gone") }
            return now
        }
    }

    /// Runs the stage around `body`, which sends lines and gets what was made of them.
    private func run(
        _ catalog: Catalog, _ configure: (inout ValidateSettings) -> Void = { _ in }, clock: StageClock = .continuous,
        logger: Logger = quietLogger,
        _ body:
            @Sendable (
                _ send: @Sendable (String) async throws -> Void, _ next: @escaping @Sendable () async -> [RowBatch]
            )
            async throws
            -> Void
    ) async throws -> [Rejection] {
        var settings = ValidateSettings()
        settings.defaultTable = "t"
        settings.workers = 1
        settings.structureRefresh = nil
        configure(&settings)
        let input = BoundedStream<Chunk>(elementsMax: 8, bytesMax: 1 << 20) { $0.bytes.readableBytes }
        let output = BoundedStream<Intake>(elementsMax: 8, bytesMax: 1 << 20) { $0.memory }
        let rejected = Recorder<Rejection>()
        let stage = ValidateStage(
            settings: settings, input: input, output: output, catalog: catalog, changes: catalog.changes,
            pool: BlockPool(bytesMax: 1 << 20), telemetry: Telemetry(), logger: logger,
            clock: clock, wallClock: { 0 },
            deadLetter: { $0.forEach(rejected.record) })
        let running = Task { try await stage.run() }
        try await body(
            { line in
                try await input.send(
                    Chunk(session: 1, number: 0, table: nil, bytes: ByteBuffer(string: line + "\n"), received: .now))
            }, { await output.next()?.batches ?? [] })
        input.finish()
        try await running.value
        return rejected.values
    }

    private static func text(_ batches: [RowBatch]) throws -> [String] {
        try batches.flatMap { batch in
            var printed = ByteBuffer()
            try RowPrinter.print(batch.block, into: &printed)
            return String(buffer: printed).split(separator: "\n").map(String.init)
        }
    }

    /// It would say that rows are rejected which are not.
    @Test(arguments: RouteRule.Otherwise.allCases) func nothingIsSaidOfADefaultTableThatNoRowStaysIn(
        otherwise: RouteRule.Otherwise
    ) async throws {
        let catalog = try Catalog([("a", "UInt8")])
        let logged = Recorder<String>()
        var rules = TableRules()
        rules.route.field = "to"
        rules.route.patterns = ["u"]
        rules.route.otherwise = otherwise
        let logger = Logger(label: "test") { _ in RecordingLogHandler(lines: logged) }
        let rejected = try await run(catalog, { [rules] in $0.rules = ["t": rules] }, logger: logger) { send, next in
            try await send(#"{"a":1,"to":"u"}"#)
            #expect(await next().map(\.table.table) == ["u"])
            if otherwise == .keep { await eventually { !logged.values.isEmpty } }
        }
        #expect(logged.values == (otherwise == .keep ? ["default table [columns=1 table=t]"] : []))
        #expect(rejected.isEmpty)
    }

    @Test func aRowWithANewFieldHasItInItsColumn() async throws {
        let catalog = try Catalog([("a", "UInt8")])
        let rejected = try await run(catalog) { send, next in
            try await send(#"{"a":1}"#)
            #expect(try Self.text(await next()) == [#"{"a":1}"#])
            try catalog.alter([("a", "UInt8"), ("b", "String")])
            // Rows of one chunk, before and behind the one that shows it.
            try await send(#"{"a":2}"# + "\n" + #"{"a":3,"b":"new"}"# + "\n" + #"{"b":"more"}"#)
            #expect(try Self.text(await next()) == [#"{"a":2}"#, #"{"a":3,"b":"new"}"#, #"{"a":0,"b":"more"}"#])
        }
        #expect(rejected.isEmpty)
    }

    @Test func fieldsThatNoTableHasAreNotAskedAboutAgainAndAgain() async throws {
        let catalog = try Catalog([("a", "UInt8")])
        _ = try await catalog.structure(of: Self.table)
        // For the first of the fields, or for each of them once.
        for (wait, times) in [(Duration.seconds(3600), 1), (.zero, 2)] {
            catalog.asked.withLock { $0 = 0 }
            _ = try await run(catalog, { $0.structureRefreshMin = wait }) { send, next in
                for _ in 0..<5 {
                    try await send(#"{"a":1,"x":2}"# + "\n" + #"{"a":1,"y":2}"#)
                    #expect(try Self.text(await next()) == [#"{"a":1}"#, #"{"a":1}"#])
                }
            }
            #expect(catalog.asked.withLock { $0 } == times)
        }
    }

    /// Rows wait for a server that says nothing, but not for long, and not each of them.
    @Test func aServerThatIsAwayIsNotWaitedFor() async throws {
        let catalog = try Catalog([("a", "UInt8")])
        let rejected = try await run(catalog, { $0.structureRefreshMin = .zero }) { send, next in
            try await send(#"{"a":1}"#)
            _ = await next()
            catalog.isSilent.withLock { $0 = true }
            for name in ["x", "y", "z"] {
                try await send(#"{"a":1,"\#(name)":2}"#)
                #expect(try Self.text(await next()) == [#"{"a":1}"#])
            }
        }
        #expect(rejected.isEmpty)
        #expect(catalog.asked.withLock { $0 } <= 3)
    }

    @Test func whatTheCatalogHearsElsewhereIsFollowedFromTheNextChunk() async throws {
        let catalog = try Catalog([("a", "UInt8"), ("b", "String")])
        let rejected = try await run(catalog) { send, next in
            try await send(#"{"a":1,"b":"x"}"#)
            #expect(try Self.text(await next()) == [#"{"a":1,"b":"x"}"#])
            try catalog.alter([("a", "Int32")])
            // As the sink does when a block is refused.
            _ = try await catalog.refresh(Self.table)
            try await send(#"{"a":-1,"b":"x"}"#)
            #expect(try Self.text(await next()) == [#"{"a":-1}"#])
            try catalog.alter(nil)
            _ = try? await catalog.refresh(Self.table)
            try await send(#"{"a":5}"#)
        }
        #expect(rejected.map(\.reason) == [.unknownTable])
    }

    /// Rows do not land past rules that do not fit the table; when it has the column, or has it again, they do.
    @Test func rowsAreRejectedWhileTheirRulesDoNotFit() async throws {
        let (without, with) = ([("a", "UInt8")], [("a", "UInt8"), ("mail", "String")])
        let catalog = try Catalog(without)
        let rules = try RuleFixture.tables(["t": "fields: {mail: {redact: {method: mask}}}"])
        let time = ManualClock()
        let line = #"{"a":1,"mail":"ann"}"#
        let rejected = try await run(
            catalog, { $0.rules = rules },
            clock: StageClock(now: { time.now }, sleep: { try await time.sleep(until: $0) })
        ) { send, next in
            try await send(line)
            await eventually { catalog.asked.withLock { $0 } == 2 }
            try catalog.alter(with)
            let hasLanded = Mutex(false)
            let first = Task {
                defer { hasLanded.withLock { $0 = true } }
                return await next()
            }
            while !hasLanded.withLock({ $0 }) {
                time.advance(by: .seconds(2))
                try await send(line)
                await Task.yield()
            }
            #expect(try Self.text(await first.value).first == #"{"a":1,"mail":"***"}"#)
        }
        #expect(!rejected.isEmpty)
        #expect(rejected.allSatisfy { $0.reason == .ruleInvalid })
    }

    @Test func theServerIsAskedFromTimeToTime() async throws {
        let catalog = try Catalog([("a", "UInt8")])
        _ = try await run(catalog, { $0.structureRefresh = .milliseconds(10) }) { send, next in
            try await send(#"{"a":1}"#)
            _ = await next()
            try catalog.alter([("a", "String")])
            await eventually { catalog.asked.withLock { $0 } >= 3 }
            try await send(#"{"a":"text"}"#)
            #expect(try Self.text(await next()) == [#"{"a":"text"}"#])
        }
    }
}
