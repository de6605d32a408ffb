import ClickHouseNative
import Foundation
import Ingest
import Logging
import NIOCore
import Pipeline
import Sinks

/// The whole daemon: the stages, the streams between them, and what they share.
///
/// Assembled here and nowhere else; the executable, the benchmarks and the tests run this.
public struct Daemon: Sendable {
    public let settings: Settings
    public let telemetry: Telemetry
    public let runtime: Runtime
    private let batch: BatchStage
    private let compress: CompressStage
    private let validate: ValidateStage
    private let gate = PauseGate()
    /// Tells that the socket listens.
    public let listening: Listening

    /// - Parameters:
    ///   - schema: structures of tables for a sink without a server.
    ///   - beside: stages that only look on (the admin endpoints); they stop first.
    /// - Throws: when a directory or a certificate cannot be used.
    public init(
        settings: Settings, schema: SchemaCatalog, logger: Logger, telemetry: Telemetry = Telemetry(),
        environment: [String: String] = [:],
        beside: (Telemetry) throws -> [any Stage] = { _ in [] }
    ) throws {
        self.settings = settings
        self.telemetry = telemetry
        let listening = Listening()
        self.listening = listening

        let chunks = BoundedStream<Chunk>(settings.receive.queue, weight: { $0.memory })
        let intakes = BoundedStream<Intake>(settings.spool.queue, weight: { $0.memory })
        let rowBatches = BoundedStream<RowBatch>(settings.validate.queue, weight: { $0.memory })
        let sealed = BoundedStream<SealedBlock>(settings.batch.queue, weight: { $0.memory })
        let encoded = BoundedStream<EncodedBlock>(settings.compress.queue, weight: { $0.body.capacity })

        let deadLetter = try DeadLetter(
            settings: settings.validate.deadLetter, logger: logger.of(stage: "dead-letter"))
        let pool = BlockPool(bytesMax: settings.validate.recycledBytesMax)
        let pressure = SinkPressure()
        let registry = ProducerRegistry(
            producersMax: settings.spool.producersMax, ageMax: settings.spool.producerAgeMax,
            wallClock: Self.milliseconds)
        let keeper = try Keeper(
            settings: settings.spool, input: intakes, batches: rowBatches, blocks: sealed, registry: registry,
            environment: environment, telemetry: telemetry, logger: logger.of(stage: "spool"),
            wallClock: Self.milliseconds,
            recycle: { pool.give($0) })
        telemetry.observe(chunks, as: "validate")
        telemetry.observe(intakes, as: keeper.stage.name, rows: { $0.rows })
        telemetry.observe(rowBatches, as: "batch", rows: { $0.rows })
        telemetry.observe(sealed, as: "compress", rows: { $0.rows })
        telemetry.observe(encoded, as: "ship", rows: { $0.rows })
        if settings.spool.enabled { telemetry.spool.bytesMax.set(settings.spool.bytesMax) }
        let (sink, source) = try Self.sink(
            settings.ship, input: encoded, schema: schema, telemetry: telemetry, pressure: pressure,
            logger: logger.of(stage: "ship"),
            handlers: BlockHandlers(
                committed: { await keeper.settled($0.id, .committed) },
                split: { try await keeper.split($0.id, $1) },
                refused: { block, refusal in
                    try await Self.keep(block, refusal, in: deadLetter)
                    await keeper.settled(block.id, .deadLettered)
                }))
        var catalog = source
        if settings.spool.enabled, settings.ship.sink == .clickhouse {
            catalog = RememberedCatalog(
                source, directory: settings.spool.directory, schema: schema, logger: logger.of(stage: "validate"))
        }
        compress = CompressStage(
            input: sealed, output: encoded, settings: settings.compress, sink: sink, telemetry: telemetry,
            recycle: { pool.give($0) })
        batch = BatchStage(
            settings: settings.batch, input: rowBatches, output: sealed, telemetry: telemetry, pressure: pressure,
            seal: keeper.seal)
        validate = ValidateStage(
            settings: settings.validate, input: chunks, output: intakes,
            spool: settings.spool.enabled ? settings.spool.compression : nil,
            compressesOnce: settings.compressesOnce, catalog: catalog, pool: pool,
            telemetry: telemetry, logger: logger.of(stage: "validate"), wallClock: Self.milliseconds,
            deadLetter: { rejections in
                telemetry.rejectionSamples.record(rejections)
                await deadLetter.record(rejections)
            }, deadLetterSynced: { try await deadLetter.sync() }, gate: gate)
        let receive = ReceiveStage(
            settings: settings.receive, rowBytesMax: settings.validate.deadLetter.rowBytesMax, output: chunks,
            deadLetter: deadLetter, producers: registry, hasSpool: settings.spool.enabled, telemetry: telemetry,
            logger: logger.of(stage: "receive"), environment: environment,
            onListening: {
                telemetry.intake = .open
                listening.begin()
            })

        let stages: [any Stage] = [deadLetter, sink, compress, batch, keeper.stage, validate, receive]
        for stage in stages.reversed() {
            if let stage = stage as? any Stage & AnyObject { telemetry.observe(stage) }
        }
        telemetry.describe(sink: settings.ship.sink.rawValue)
        telemetry.observe { $0.deadLetter = { [weak deadLetter] in deadLetter?.status } }
        runtime = Runtime(
            stages: stages + (try beside(telemetry)), shutdownTimeout: settings.shutdownTimeout, logger: logger,
            telemetry: telemetry)
    }

    // MARK: While it runs

    /// Takes over what a running daemon can (`ConfigurationKey.change`); the rest of the settings must be as they were.
    public func reconfigure(_ settings: Settings) async {
        validate.reconfigure(settings.validate, compressesOnce: settings.compressesOnce)
        await batch.reconfigure(settings.batch)
        compress.reconfigure(settings.compress)
    }

    /// Seals now what is open of a table.
    public func flush(_ table: TableName) async throws { try await batch.flush(table: table) }

    /// Takes no more rows; producers wait. Rows that were taken go on to the sink.
    ///
    /// - Returns: Whether that changed anything.
    public func pause() -> Bool {
        telemetry.intake = .paused
        return gate.close()
    }

    public func resume() -> Bool {
        telemetry.intake = .open
        return gate.open()
    }

    /// As SIGTERM does.
    public func drain() {
        telemetry.intake = .draining
        gate.open()
        runtime.stop()
    }

    private static func sink(
        _ settings: ShipSettings, input: BoundedStream<EncodedBlock>, schema: SchemaCatalog, telemetry: Telemetry,
        pressure: SinkPressure, logger: Logger, handlers: BlockHandlers
    ) throws -> (any Sink, any TableCatalog) {
        switch settings.sink {
        case .clickhouse:
            let servers = try ClickHouseServers(settings: settings.clickhouse, telemetry: telemetry, logger: logger)
            let catalog = ClickHouseCatalog(servers: servers, logger: logger)
            let sink = ClickHouseSink(
                input: input, servers: servers, catalog: catalog, telemetry: telemetry, logger: logger,
                handlers: handlers, pressure: pressure)
            return (sink, catalog)
        case .file:
            let sink = NativeFileSink(
                input: input, settings: settings.file, telemetry: telemetry, logger: logger,
                committed: handlers.committed)
            return (sink, schema)
        case .null:
            return (NullSink(input: input, telemetry: telemetry, committed: handlers.committed), schema)
        }
    }

    @Sendable private static func milliseconds() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    /// A block that the server refused for good, into the dead letter, as a file that any ClickHouse reads.
    private static func keep(_ block: EncodedBlock, _ refusal: BlockRefusal, in deadLetter: DeadLetter) async throws {
        let bytes = try BlockTranscoder.transcode(block.body, from: block.encoding, to: .file)
        try await deadLetter.recordBlock(
            table: block.table, id: block.id, rows: block.rows, bytes: bytes,
            code: refusal.code.map { Int($0.rawValue) },
            message: "\(refusal.reason.rawValue): \(refusal.message)")
    }
}

extension DeadLetter: Stage {}

extension DeadLetter {
    fileprivate nonisolated var status: DeadLetterStatus {
        DeadLetterStatus(
            rows: recordedRows.current, blocks: recordedBlocks.current, discardedRows: discardedRows.snapshot(),
            diskErrors: diskErrors.current)
    }
}

extension RejectionSamples {
    fileprivate func record(_ rejections: [Rejection]) {
        let time = Int64(Date().timeIntervalSince1970)
        for rejection in rejections {
            record(
                table: rejection.table?.description, column: rejection.column, reason: rejection.reason.rawValue,
                message: rejection.message, session: rejection.session, time: time
            ) { RedactedRow.of(rejection.bytes.readableBytesView) }
        }
    }
}

extension Logger {
    /// For what a stage says: handlers show the stage before the message.
    public func of(stage: String) -> Logger {
        var logger = self
        logger[metadataKey: "stage"] = "\(stage)"
        return logger
    }
}
