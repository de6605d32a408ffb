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
    private let keeper: Keeper
    private let batch: BatchStage
    private let compress: CompressStage
    private let validate: ValidateStage
    private let receive: ReceiveStage
    /// nil: another sink.
    private let clickhouse: ClickHouseSink?
    private let deadLetter: DeadLetter
    private let gate = PauseGate()
    private let reading: ReadingSettings
    /// Tells that the socket listens.
    public let listening: Listening

    /// - Parameters:
    ///   - schema: structures of tables for a sink without a server.
    ///   - audit: is told who was not let in.
    ///   - beside: stages that only look on (the admin endpoints); they stop first.
    ///   - exitNow: ends the process when stages do not end in time, or nobody wants to wait for them; see `Runtime`.
    /// - Throws: when a directory or a certificate cannot be used.
    public init(
        settings: Settings, schema: SchemaCatalog, logger: Logger, telemetry: Telemetry = Telemetry(),
        environment: [String: String] = [:], audit: AuditLog? = nil,
        beside: (Telemetry) throws -> [any Stage] = { _ in [] },
        exitNow: @escaping @Sendable (ExitReason) -> Void = { endProcess(status: $0.exitStatus) }
    ) throws {
        self.settings = settings
        self.telemetry = telemetry
        let listening = Listening()
        self.listening = listening
        let reading = ReadingSettings(settings.validate)
        self.reading = reading
        let changes = StructureChanges()

        let chunks = BoundedStream<Chunk>(settings.receive.queue, weight: { $0.memory })
        let intakes = BoundedStream<Intake>(settings.spool.queue, weight: { $0.memory })
        let rowBatches = BoundedStream<RowBatch>(settings.validate.queue, weight: { $0.memory })
        let sealed = BoundedStream<SealedBlock>(settings.batch.queue, weight: { $0.memory })
        let encoded = BoundedStream<EncodedBlock>(settings.compress.queue, weight: { $0.bytes.readableBytes })

        let deadLetter = try DeadLetter(
            settings: settings.validate.deadLetter, logger: logger.of(stage: "dead-letter"))
        let rates = RateLimits(settings.receive.rateLimit, telemetry: telemetry)
        deadLetter.redact(by: settings.validate)
        self.deadLetter = deadLetter
        let pool = BlockPool(bytesMax: settings.validate.recycledBytesMax)
        let buffers = BufferPool(bytesMax: settings.validate.recycledBytesMax)
        let pressure = SinkPressure()
        let registry = ProducerRegistry(
            producersMax: settings.spool.producersMax, ageMax: settings.spool.producerAgeMax,
            wallClock: Self.milliseconds)
        let backlog = SpoolBacklog()
        let keeper = try Keeper(
            settings: settings, input: intakes, batches: rowBatches, blocks: sealed, registry: registry,
            environment: environment, telemetry: telemetry, logger: logger.of(stage: "spool"),
            wallClock: Self.milliseconds, hasBacklog: backlog, buffers: buffers, recycle: { pool.give($0) })
        self.keeper = keeper
        telemetry.observe(chunks, as: "validate")
        telemetry.observe(intakes, as: keeper.stage.name, rows: { $0.rows })
        telemetry.observe(rowBatches, as: "batch", rows: { $0.rows })
        telemetry.observe(sealed, as: "compress", rows: { $0.rows })
        telemetry.observe(encoded, as: "ship", rows: { $0.rows })
        if settings.spool.enabled { telemetry.spool.bytesMax.set(settings.spool.bytesMax) }
        let (sink, source): (any Sink, any TableCatalog) = try Self.sink(
            settings.ship, input: encoded, schema: schema, telemetry: telemetry, pressure: pressure,
            logger: logger.of(stage: "ship"), reading: reading, changes: changes,
            handlers: BlockHandlers(
                committed: { await keeper.settled($0.id, .committed) },
                split: { try await keeper.split($0.id, $1) },
                setAside: keeper.setAside,
                convert: { rows, types, timeZone in
                    switch try ColumnConversion.convert(rows, to: types, timeZone: timeZone) {
                    case .converted(let block): .converted(block)
                    case .impossible(let rows): .impossible(rows)
                    }
                },
                refused: { block, refusal in
                    try await Self.keep(block, refusal, in: deadLetter)
                    await keeper.settled(block.id, .deadLettered)
                }))
        clickhouse = sink as? ClickHouseSink
        var catalog = source
        if settings.spool.enabled, settings.ship.sink == .clickhouse {
            catalog = RememberedCatalog(
                source, directory: settings.spool.directory, schema: schema, logger: logger.of(stage: "validate"))
        }
        compress = CompressStage(
            input: sealed, output: encoded, settings: settings.compress, sink: sink, telemetry: telemetry,
            buffers: buffers, recycle: { pool.give($0) })
        batch = BatchStage(
            settings: settings.batch, input: rowBatches, output: sealed, telemetry: telemetry, pressure: pressure,
            seal: keeper.seal)
        validate = ValidateStage(
            settings: settings.validate, input: chunks, output: intakes,
            spool: settings.spool.enabled ? settings.spool.compression : nil,
            compressesOnce: settings.compressesOnce, backlog: backlog, catalog: catalog, changes: changes,
            pool: pool, buffers: buffers, telemetry: telemetry, logger: logger.of(stage: "validate"),
            wallClock: Self.milliseconds,
            deadLetter: { rejections in
                telemetry.rejectionSamples.record(rejections)
                await deadLetter.record(rejections)
            }, deadLetterSynced: { try await deadLetter.sync() }, gate: gate, rates: rates)
        let refusals = audit.map { RefusalAudit($0) }
        let receive = try ReceiveStage(
            settings: settings.receive, rowBytesMax: settings.validate.deadLetter.rowBytesMax, output: chunks,
            deadLetter: deadLetter, producers: registry, hasSpool: settings.spool.enabled, telemetry: telemetry,
            logger: logger.of(stage: "receive"), rates: rates, environment: environment,
            onRefusal: { refusals?.record($0) },
            onListening: {
                telemetry.intake = .open
                listening.begin()
            })

        self.receive = receive

        let stages: [any Stage] = [deadLetter, sink, compress, batch, keeper.stage, validate, receive]
        for stage in stages.reversed() {
            if let stage = stage as? any Stage & AnyObject { telemetry.observe(stage) }
        }
        telemetry.describe(sink: settings.ship.sink.rawValue)
        telemetry.observe { $0.producers = { [weak registry] in registry?.list() ?? ProducerList() } }
        telemetry.observe { $0.deadLetter = { [weak deadLetter] in deadLetter?.status } }
        telemetry.observe { $0.recycledBytes = { ["blocks": pool.bytes, "buffers": buffers.idleBytes] } }
        runtime = Runtime(
            stages: stages + (try beside(telemetry)), shutdownTimeout: settings.shutdownTimeout, logger: logger,
            telemetry: telemetry,
            onStopping: { [gate] in
                telemetry.intake = .draining
                // What is held by a pause could not drain.
                gate.open()
            }, whileRunning: { await IdleMemory.watch(buffers) }, exitNow: exitNow)
    }

    // MARK: While it runs

    /// Other settings, looked at and not yet in force.
    public struct Change: Sendable {
        fileprivate let settings: Settings
        fileprivate let receive: ReceiveStage.Change
        fileprivate let servers: ClickHouseServers.Change?

        /// Whether certificates or keys of the connections to servers are other ones now, under the same names or others.
        public var hasNewFiles: Bool { servers?.hasNewFiles ?? false }
    }

    /// Looks at other settings: whatever can be wrong with them shows here.
    ///
    /// - Throws: what is wrong: a user that the system does not know, a certificate that cannot be read.
    public func prepare(_ settings: Settings) throws -> Change {
        Change(
            settings: settings, receive: try receive.prepare(settings.receive),
            servers: try clickhouse?.prepare(settings.ship.clickhouse))
    }

    /// Takes over what a running daemon can (`ConfigurationKey.change`); the rest of the settings must be as they were. Nothing that
    /// is on its way is lost, or waits for this.
    public func apply(_ change: Change) async {
        receive.apply(change.receive)
        // A row that is read by new rules must not be kept by old ones.
        deadLetter.redact(by: change.settings.validate)
        reading.replace(change.settings.validate)
        validate.reconfigure(change.settings.validate, compressesOnce: change.settings.compressesOnce)
        await keeper.reconfigure(change.settings)
        await batch.reconfigure(change.settings.batch)
        compress.reconfigure(change.settings.compress)
        if let servers = change.servers { await clickhouse?.apply(servers) }
    }

    /// Asks now what the tables in use look like; rows are read by the answers from then on.
    public func refreshStructures() { validate.refreshStructures() }

    /// Seals now what is open of a table.
    ///
    /// - Returns: The rows of each block that was sealed.
    public func flush(_ table: TableName) async throws -> [Int] { try await batch.flush(table: table) }

    /// Takes no more rows; producers wait. Rows that were taken go on to the sink.
    ///
    /// - Returns: Whether that changed anything.
    public func pause() -> Bool {
        // One that stops takes no rows anyway, and what it has must pass.
        guard telemetry.intake != .draining else { return false }
        telemetry.intake = .paused
        return gate.close()
    }

    public func resume() -> Bool {
        if telemetry.intake == .paused { telemetry.intake = .open }
        return gate.open()
    }

    /// As SIGTERM does.
    public func drain() { runtime.stop() }

    private static func sink(
        _ settings: ShipSettings, input: BoundedStream<EncodedBlock>, schema: SchemaCatalog, telemetry: Telemetry,
        pressure: SinkPressure, logger: Logger, reading: ReadingSettings, changes: StructureChanges,
        handlers: BlockHandlers
    ) throws -> (any Sink, any TableCatalog) {
        switch settings.sink {
        case .clickhouse:
            let servers = try ClickHouseServers(settings: settings.clickhouse, telemetry: telemetry, logger: logger)
            let catalog = ClickHouseCatalog(servers: servers, logger: logger, changes: changes)
            let sink = ClickHouseSink(
                input: input, servers: servers, catalog: catalog, telemetry: telemetry, logger: logger,
                handlers: handlers, pressure: pressure, reading: { reading.ofServer($0) })
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
