import ClickHouseNative
import Logging
import Pipeline
import Sinks
import Synchronization
import TestSupport

/// What a sink needs, put together for a test: short waits, one connection, and notes of what became of blocks.
struct SinkFixture {
    let telemetry: Telemetry
    let committed = Recorder<UInt64>()
    let refused = Recorder<(id: UInt64, refusal: BlockRefusal)>()
    /// Tokens of blocks that were committed; rows of those that were refused.
    let tokens = Recorder<String?>()
    let refusedRows = Recorder<Int>()
    /// Blocks that were split, and what their pieces are known by.
    let splits = Recorder<(id: UInt64, pieces: [RowSelection], identities: [BlockIdentity])>()
    let ledger: Ledger
    let pressure = SinkPressure()
    let setAside: SetAside?
    let input = BoundedStream<EncodedBlock>(elementsMax: 64, bytesMax: 1 << 30) { $0.body.readableBytes }
    let servers: ClickHouseServers
    let catalog: ClickHouseCatalog
    let sink: ClickHouseSink

    static var quiet: Logger {
        var logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        return logger
    }

    /// - Parameter setsAside: whether somebody takes blocks whose table takes none for now.
    init(_ settings: ClickHouseSettings, clock: StageClock = .continuous, setsAside: Bool = false) throws {
        telemetry = Telemetry()
        setAside = setsAside ? SetAside(telemetry: telemetry.spool, clock: clock) : nil
        servers = try ClickHouseServers(
            settings: settings, telemetry: telemetry, logger: Self.quiet, clock: clock, random: { 0 })
        catalog = ClickHouseCatalog(servers: servers, logger: Self.quiet, clock: clock)
        let (committed, refused, tokens, refusedRows) = (committed, refused, tokens, refusedRows)
        let (splits, ledger) = (splits, Ledger())
        sink = ClickHouseSink(
            input: input, servers: servers, catalog: catalog, telemetry: telemetry, logger: Self.quiet,
            handlers: BlockHandlers(
                committed: {
                    tokens.record($0.identity.token)
                    committed.record($0.id)
                },
                split: { block, pieces in
                    let identities = try ledger.identities(of: block, pieces.count)
                    splits.record((block.id, pieces, identities))
                    return identities
                }, setAside: setAside,
                refused: {
                    refusedRows.record($0.rows)
                    refused.record(($0.id, $1))
                }), pressure: pressure, clock: clock, random: { 1 })
        self.ledger = ledger
    }

    /// For a server on loopback.
    static func settings(port: Int, database: String = "default") -> ClickHouseSettings {
        var settings = ClickHouseSettings()
        settings.hosts = [.init(name: "127.0.0.1", port: port)]
        settings.database = database
        settings.connections = 1
        settings.connectTimeout = .seconds(180)
        settings.insertTimeout = .seconds(180)
        settings.queryTimeout = .seconds(180)
        settings.healthCheckTimeout = .seconds(180)
        settings.retryDelayMin = .milliseconds(1)
        settings.retryDelayMax = .milliseconds(20)
        settings.breakerOpenTime = .milliseconds(50)
        return settings
    }
}

/// Stands for the spool: gives pieces identities that no other block has.
final class Ledger: Sendable {
    struct Full: Error {}

    /// Splitting fails so many times before it works.
    let failuresLeft = Mutex(0)
    private let lastID = Mutex<UInt64>(1_000_000)

    func identities(of block: EncodedBlock, _ count: Int) throws -> [BlockIdentity] {
        let fails = failuresLeft.withLock { left in
            defer { left = max(0, left - 1) }
            return left > 0
        }
        if fails { throw Full() }
        return lastID.withLock { last in
            (0..<count).map { _ in
                last += 1
                return BlockIdentity(id: last, token: block.identity.token.map { _ in "spool-\(last)" })
            }
        }
    }
}

extension SinkFixture {
    /// Sends parts through compression and the sink, to the end of both.
    func ship(_ blocks: [SealedBlock], compress settings: CompressSettings = CompressSettings()) async throws {
        let sealed = BoundedStream<SealedBlock>(elementsMax: 64, bytesMax: 1 << 30) { $0.bytes }
        let compress = CompressStage(
            input: sealed, output: input, settings: settings, sink: sink, telemetry: telemetry)
        let sink = sink
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await sink.run() }
            group.addTask { try await compress.run() }
            for block in blocks { try await sealed.send(block) }
            sealed.finish()
            try await group.waitForAll()
        }
    }
}

extension SealedBlock {
    init(
        id: UInt64 = 1, token: String? = nil, _ table: TableName, _ parts: [Block], reason: Reason = .rows
    ) {
        let batches = parts.map {
            RowBatch(
                table: table, block: $0, firstReceived: .now)
        }
        self.init(identity: BlockIdentity(id: id, token: token), table: table, parts: batches, reason: reason)
    }
}

extension Block {
    /// One UInt64 column.
    static func numbers(_ numbers: some Sequence<UInt64>, column: String = "n") -> Block {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: column, type: .uint64)]))
        for number in numbers {
            block.nodes[0].appendFixed(number)
            block.commitRow()
        }
        return block
    }
}

extension Block {
    /// `each` rows for each day from 2024-01-01 on: its number, its date, its first second.
    static func days(_ days: UInt64, each: Int) -> Block {
        let block = Block(
            layout: BlockLayout([
                ColumnDefinition(name: "n", type: .uint64), ColumnDefinition(name: "d", type: .date),
                ColumnDefinition(name: "ts", type: .dateTime(timeZone: nil)),
            ]))
        for _ in 0..<each {
            for day in 0..<days {
                block.nodes[0].appendFixed(day)
                block.nodes[1].appendFixed(UInt16(19_723 + day))
                block.nodes[2].appendFixed(UInt32(19_723 + day) * 86_400)
                block.commitRow()
            }
        }
        return block
    }
}

extension EncodedBlock {
    init(_ sealed: SealedBlock, _ encoding: BlockEncoding) throws {
        let encoded = try BlockEncoder.encode(sealed.parts.map(\.block), as: encoding)
        self.init(
            identity: sealed.identity, table: sealed.table, layout: sealed.layout, rows: sealed.rows,
            rawBytes: encoded.rawBytes,
            encoding: encoding, body: encoded.body, firstReceived: .now)
    }
}
