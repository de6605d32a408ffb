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
        telemetry.observe(chunks, as: "validate")
        telemetry.observe(intakes, as: "spool")
        telemetry.observe(rowBatches, as: "batch")
        telemetry.observe(sealed, as: "compress")
        telemetry.observe(encoded, as: "ship")

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
        let (sink, catalog) = try Self.sink(
            settings.ship, input: encoded, schema: schema, telemetry: telemetry, pressure: pressure,
            logger: logger.of(stage: "ship"),
            handlers: BlockHandlers(
                committed: { await keeper.settled($0.id, .committed) },
                split: { try await keeper.split($0.id, $1) },
                refused: { block, refusal in
                    try await Self.keep(block, refusal, in: deadLetter)
                    await keeper.settled(block.id, .deadLettered)
                }))
        let compress = CompressStage(
            input: sealed, output: encoded, settings: settings.compress, sink: sink, telemetry: telemetry,
            recycle: { pool.give($0) })
        let batch = BatchStage(
            settings: settings.batch, input: rowBatches, output: sealed, telemetry: telemetry, pressure: pressure,
            seal: keeper.seal)
        let validate = ValidateStage(
            settings: settings.validate, input: chunks, output: intakes,
            spool: settings.spool.enabled ? settings.spool.compression : nil, catalog: catalog, pool: pool,
            telemetry: telemetry, logger: logger.of(stage: "validate"), wallClock: Self.milliseconds,
            deadLetter: { await deadLetter.record($0) }, deadLetterSynced: { try await deadLetter.sync() })
        let receive = ReceiveStage(
            settings: settings.receive, rowBytesMax: settings.validate.deadLetter.rowBytesMax, output: chunks,
            deadLetter: deadLetter, producers: registry, hasSpool: settings.spool.enabled, telemetry: telemetry,
            logger: logger.of(stage: "receive"), environment: environment,
            onListening: { listening.begin() })

        let stages: [any Stage] = [deadLetter, sink, compress, batch, keeper.stage, validate, receive]
        runtime = Runtime(
            stages: stages + (try beside(telemetry)), shutdownTimeout: settings.shutdownTimeout, logger: logger,
            telemetry: telemetry)
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

extension Logger {
    /// For what a stage says: handlers show the stage before the message.
    public func of(stage: String) -> Logger {
        var logger = self
        logger[metadataKey: "stage"] = "\(stage)"
        return logger
    }
}
