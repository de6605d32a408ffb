import ClickHouseNative
import Logging
import Pipeline
import Sinks
import TestSupport

/// What a sink needs, put together for a test: short waits, one connection, and notes of what became of blocks.
struct SinkFixture {
    let telemetry: Telemetry
    let committed = Recorder<UInt64>()
    let refused = Recorder<(id: UInt64, refusal: BlockRefusal)>()
    let input = BoundedStream<EncodedBlock>(elementsMax: 64, bytesMax: 1 << 30) { $0.body.readableBytes }
    let servers: ClickHouseServers
    let catalog: ClickHouseCatalog
    let sink: ClickHouseSink

    static var quiet: Logger {
        var logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        return logger
    }

    init(_ settings: ClickHouseSettings, clock: StageClock = .continuous) throws {
        telemetry = Telemetry()
        servers = try ClickHouseServers(settings: settings, telemetry: telemetry, logger: Self.quiet)
        catalog = ClickHouseCatalog(servers: servers, logger: Self.quiet, clock: clock)
        let (committed, refused) = (committed, refused)
        sink = ClickHouseSink(
            input: input, servers: servers, catalog: catalog, telemetry: telemetry, logger: Self.quiet,
            handlers: BlockHandlers(
                committed: { committed.record($0.id) }, refused: { refused.record(($0.id, $1)) }),
            clock: clock, random: { 1 })
    }

    /// For a server on loopback.
    static func settings(port: Int, database: String = "default") -> ClickHouseSettings {
        var settings = ClickHouseSettings()
        settings.hosts = [.init(name: "127.0.0.1", port: port)]
        settings.database = database
        settings.connections = 1
        settings.connectTimeout = .seconds(10)
        settings.insertTimeout = .seconds(20)
        settings.queryTimeout = .seconds(20)
        settings.retryDelayMin = .milliseconds(1)
        settings.retryDelayMax = .milliseconds(20)
        return settings
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
    init(id: UInt64 = 1, _ table: TableName, _ parts: [Block]) {
        let batches = parts.map {
            RowBatch(
                table: table, block: $0, firstReceived: .now)
        }
        self.init(identity: BlockIdentity(id: id), table: table, parts: batches, reason: .rows)
    }
}

extension Block {
    /// One UInt64 column.
    static func numbers(_ range: Range<UInt64>, column: String = "n") -> Block {
        let block = Block(layout: BlockLayout([ColumnDefinition(name: column, type: .uint64)]))
        for number in range {
            block.nodes[0].appendFixed(number)
            block.commitRow()
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
