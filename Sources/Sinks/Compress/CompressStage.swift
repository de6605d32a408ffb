import ClickHouseNative
import NIOConcurrencyHelpers
import Pipeline

/// Turns sealed blocks into bytes: the columns of all their parts as one Native block, in compressed frames.
///
/// Several workers encode at once, so blocks may come out in another order than they went in.
public actor CompressStage: Stage {
    public nonisolated let name = "compress"
    private let input: BoundedStream<SealedBlock>
    private let output: BoundedStream<EncodedBlock>
    private let sink: any Sink
    private let telemetry: Telemetry
    private let recycle: (@Sendable ([Block]) -> Void)?
    private let buffers: BufferPool
    /// How blocks are written from now on.
    private let current: NIOLockedValueBox<Current>
    private let workers: Int
    private let held = Gauge()

    /// - Parameters:
    ///   - buffers: what is encoded comes from there.
    ///   - recycle: Takes the blocks whose rows are encoded; nobody reads them any more.
    public init(
        input: BoundedStream<SealedBlock>, output: BoundedStream<EncodedBlock>, settings: CompressSettings,
        sink: any Sink, telemetry: Telemetry, buffers: BufferPool = .none,
        recycle: (@Sendable ([Block]) -> Void)? = nil
    ) {
        self.input = input
        self.output = output
        self.sink = sink
        self.telemetry = telemetry
        self.recycle = recycle
        self.buffers = buffers
        current = NIOLockedValueBox(Current(settings))
        workers = settings.workersOrDefault
    }

    private struct Current: Sendable {
        let compression: Compression
        let frameBytes: Int

        init(_ settings: CompressSettings) {
            compression = settings.compression
            frameBytes = settings.frameBytes
        }
    }

    /// Takes over method, level and frame size, from the next block on.
    public nonisolated func reconfigure(_ settings: CompressSettings) {
        current.withLockedValue { $0 = Current(settings) }
    }

    public nonisolated var rowsHeld: Int { held.current }

    public func run() async throws {
        // What follows gets its end whatever happens here.
        defer { output.finish() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<workers { group.addTask { try await self.work() } }
            try await group.waitForAll()
        }
        try Task.checkCancellation()
    }

    /// One worker; outside the actor, so that workers do not wait for each other.
    private nonisolated func work() async throws {
        while true {
            await output.waitUntilWritable()
            guard let block = await input.next() else { return }
            held.add(block.rows)
            let current = current.withLockedValue { $0 }
            let encoded = try encode(
                block, as: await sink.encoding(with: current.compression), frameBytes: current.frameBytes)
            do {
                try await output.send(encoded)
            } catch {
                switch error {
                case .finished: throw StageError(.outputEnded, stage: name)
                case .cancelled: throw CancellationError()
                }
            }
            held.subtract(block.rows)
        }
    }

    private nonisolated func encode(
        _ sealed: SealedBlock, as encoding: BlockEncoding, frameBytes: Int
    ) throws -> EncodedBlock {
        let parts = sealed.parts.map(\.part)
        let start = ContinuousClock.now
        let encoded = try BlockEncoder.encode(parts, as: encoding, frameBytes: frameBytes, buffers: buffers)
        telemetry.encodeLatency.observe(ContinuousClock.now - start)
        telemetry.rawBytes.add(encoded.rawBytes)
        telemetry.encodedBytes.add(encoded.bytes.readableBytes)
        let block = EncodedBlock(
            identity: sealed.identity, table: sealed.table, layout: sealed.layout, rows: sealed.rows,
            rawBytes: encoded.rawBytes, encoding: encoding, bytes: encoded.bytes,
            firstReceived: sealed.firstReceived, mayHaveBeenSent: sealed.mayHaveBeenSent)
        // Copies go by themselves: who takes blocks back has no use for them.
        recycle?(parts.compactMap { $0.takesRows ? $0.whole : nil })
        return block
    }
}

extension CompressSettings {
    /// Levels: LZ4HC 9 and ZSTD 3 are the libraries' own defaults (lz4hc.h, zstd.h).
    var compression: Compression {
        switch method {
        case .lz4: .lz4
        case .lz4hc: .lz4hc(level: level ?? 9)
        case .zstd: .zstd(level: level ?? 3)
        case .none: .none
        }
    }
}
