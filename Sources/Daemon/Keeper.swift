import ClickHouseNative
import Logging
import Pipeline

/// What stands between validate and batch, and what the stages behind ask of it: the spool, or nothing much.
struct Keeper: Sendable {
    let stage: any Stage
    let seal: @Sendable ([SealedBlock]) async -> [SealedBlock]
    /// Takes over what of the settings concerns the spool; nothing where there is none.
    let reconfigure: @Sendable (Settings) async -> Void
    let settled: @Sendable (UInt64, BlockOutcome) async -> Void
    let split: @Sendable (UInt64, [[Range<Int>]]) async throws -> [BlockIdentity]
    /// nil: blocks cannot be set aside, as nobody else has them.
    let setAside: SetAside?

    /// - Throws: when the directory of the spool cannot be used.
    init(
        settings all: Settings, input: BoundedStream<Intake>, batches: BoundedStream<RowBatch>,
        blocks: BoundedStream<SealedBlock>, registry: ProducerRegistry, environment: [String: String],
        telemetry: Telemetry, logger: Logger,
        wallClock: @escaping @Sendable () -> Int64, hasBacklog: SpoolBacklog, buffers: BufferPool,
        recycle: @escaping @Sendable ([Block]) -> Void
    ) throws {
        let settings = all.spool
        guard settings.enabled else {
            let direct = DirectStage(input: input, output: batches, registry: registry)
            stage = direct
            setAside = nil
            reconfigure = { _ in }
            seal = { await direct.seal($0) }
            settled = { await direct.settled($0, as: $1) }
            split = { try await direct.split($0, into: $1) }
            return
        }
        var disk: any SpoolDisk = try SystemSpoolDisk(path: settings.directory)
        #if DEBUG
            if let calls = environment["CHAOS_KILL_AFTER_SPOOL_CALLS"].flatMap({ Int($0) }) {
                disk = KillingSpoolDisk(disk, after: calls)
            }
        #endif
        let core = try SpoolCore(
            disk: disk, settings: settings, registry: registry,
            wallClock: wallClock, buffers: buffers)
        let spool = SpoolStage(
            core: core, input: input, batches: batches, blocks: blocks, registry: registry, telemetry: telemetry,
            logger: logger, wallClock: wallClock, compressesOnce: all.compressesOnce, hasBacklog: hasBacklog,
            recycle: recycle)
        stage = spool
        setAside = spool.setAside
        reconfigure = { await spool.reconfigure($0.spool, compressesOnce: $0.compressesOnce) }
        seal = { await spool.seal($0) }
        settled = { await spool.settled($0, as: $1) }
        split = { try await spool.split($0, into: $1) }
    }
}
