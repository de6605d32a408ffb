import ClickHouseNative
import Pipeline

/// Counts blocks and drops them: for measuring everything in front of a sink.
public actor NullSink: Sink {
    /// Blocks, and their bytes, that are dropped at once.
    static let blocksAtOnceMax = 256
    static let bytesAtOnceMax = 8 << 20

    public nonisolated let name = "ship"
    private let input: BoundedStream<EncodedBlock>
    private let telemetry: Telemetry
    private let clock: StageClock
    private let committed: @Sendable (EncodedBlock) async -> Void

    public init(
        input: BoundedStream<EncodedBlock>, telemetry: Telemetry, clock: StageClock = .continuous,
        committed: @escaping @Sendable (EncodedBlock) async -> Void = { _ in }
    ) {
        self.input = input
        self.telemetry = telemetry
        self.clock = clock
        self.committed = committed
    }

    /// As the newest server would want it, so that the whole cost of encoding is measured.
    public func encoding(with compression: Compression) -> BlockEncoding {
        BlockEncoding(revision: .newest, compression: compression)
    }

    public func run() async throws {
        telemetry.health.set(.connected)
        while let blocks = await input.nextBatch(maxElements: Self.blocksAtOnceMax, maxBytes: Self.bytesAtOnceMax) {
            for block in blocks {
                telemetry.committed(
                    rows: block.rows, bytes: block.rawBytes, into: telemetry.table(block.table))
                telemetry.endToEndLatency.observe(clock.now - block.firstReceived)
            }
            telemetry.health.set(.healthy)
            // The spool writes together what comes together.
            await withDiscardingTaskGroup { group in
                for block in blocks { group.addTask { await self.committed(block) } }
            }
        }
        telemetry.health.set(.disconnected)
        try Task.checkCancellation()
    }
}
