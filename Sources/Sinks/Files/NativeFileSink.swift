import ClickHouseNative
import Foundation
import Logging
import NIOCore
import Pipeline

/// Writes blocks to files that `clickhouse local` and chdb read as they are: the sink that needs no server.
///
/// - One file for each table and set of columns is open at a time. It gets its name when it is large or old enough, and at
///   the end; readers see whole files only.
/// - A block is committed once it is on the disk (`fdatasync`), which happens within `syncInterval`. After a crash the
///   next run finds what was committed and publishes it.
/// - When the disk is full or fails, blocks are held and tried again, for ever; everybody before waits.
public actor NativeFileSink: Sink {
    /// Files that are open at once; beyond it the one that is open longest is closed.
    static let openFilesMax = 128
    static let syncInterval: Duration = .seconds(1)
    /// A file with so many bytes that are not synced is synced at once: they are in memory, too.
    static let unsyncedBytesMax = 16 << 20
    private static let retryDelayMin: Duration = .milliseconds(100)
    private static let retryDelayMax: Duration = .seconds(5)

    private struct Key: Hashable {
        let table: TableName
        let layout: BlockLayout
    }

    public nonisolated let name = "ship"
    private let input: BoundedStream<EncodedBlock>
    private let settings: FileSinkSettings
    private let telemetry: Telemetry
    private let health: SinkHealth
    private let logger: Logger
    private let clock: StageClock
    private let committed: @Sendable (EncodedBlock) async -> Void
    private let calls: FileCalls
    private let executor = BlockingExecutor(label: "sluice.files")
    private nonisolated let held = Gauge()

    private var files: [Key: NativeFile] = [:]
    /// Closed, and on the disk, and without their names yet because that failed.
    private var unpublished: [NativeFile] = []
    /// Were written to a file that could not be synced.
    private var returned: [EncodedBlock] = []
    /// Are on the disk; nobody was told yet.
    private var confirmed: [EncodedBlock] = []
    private var lastNumber: UInt64 = 0

    public init(
        input: BoundedStream<EncodedBlock>, settings: FileSinkSettings, telemetry: Telemetry, logger: Logger,
        clock: StageClock = .continuous, committed: @escaping @Sendable (EncodedBlock) async -> Void = { _ in }
    ) {
        self.init(
            input: input, settings: settings, telemetry: telemetry, logger: logger, clock: clock,
            committed: committed, calls: .system)
    }

    init(
        input: BoundedStream<EncodedBlock>, settings: FileSinkSettings, telemetry: Telemetry, logger: Logger,
        clock: StageClock, committed: @escaping @Sendable (EncodedBlock) async -> Void, calls: FileCalls
    ) {
        self.input = input
        self.settings = settings
        self.telemetry = telemetry
        self.logger = logger
        self.clock = clock
        self.committed = committed
        self.calls = calls
        health = SinkHealth(telemetry: telemetry, logger: logger)
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    public nonisolated var rowsHeld: Int { held.current }

    /// Bare blocks: the files have a compression of their own.
    public nonisolated func encoding(with compression: Compression) -> BlockEncoding { .file }

    public func run() async throws {
        try makeDirectory(settings.directory)
        let lock = try DirectoryLock(directory: settings.directory)
        try Leftovers(root: settings.directory, logger: logger).recover()
        health.connected()
        defer {
            health.connectionEnded(wasIntended: true)
            health.stopped()
            withExtendedLifetime(lock) {}
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.consume() }
                group.addTask { try await self.keepTime() }
                try await group.next()
                group.cancelAll()
            }
            try await closeAll()
            try Task.checkCancellation()
        } catch {
            // What can be saved without waiting.
            for key in files.keys { closeFile(key) }
            await announce()
            if held.current > 0 {
                logger.error("rows were not written", metadata: ["rows": "\(held.current)"])
            }
            throw error
        }
    }

    private func consume() async throws {
        while let block = await input.next() {
            held.add(block.rows)
            try await store(block)
            await announce()
        }
    }

    private func keepTime() async throws {
        while true {
            do {
                try await clock.sleep(for: min(Self.syncInterval, settings.rollAge))
            } catch {
                return
            }
            for (key, file) in files {
                if clock.now - file.openedAt >= settings.rollAge {
                    closeFile(key)
                } else {
                    sync(key)
                }
            }
            publishClosed()
            try await rewriteReturned()
            await announce()
        }
    }

    /// At the end: everything is on the disk and has its name.
    private func closeAll() async throws {
        var backoff = self.backoff
        while true {
            for key in files.keys { closeFile(key) }
            publishClosed()
            await announce()
            if files.isEmpty, unpublished.isEmpty, returned.isEmpty { return }
            if !unpublished.isEmpty || !returned.isEmpty { try await clock.sleep(for: backoff.next()) }
            try await rewriteReturned()
        }
    }

    // MARK: Blocks

    /// - Throws: `CancellationError` only, or that the block cannot be read.
    private func store(_ block: EncodedBlock) async throws {
        let bytes = try settings.compression.compress(block.body(as: .file))
        var backoff = self.backoff
        while true {
            do {
                try append(bytes, of: block)
                return
            } catch let error as FileError {
                let delay = backoff.next()
                health.insertFailed(.query)
                logger.error(
                    "block not written yet, it is tried again",
                    metadata: block.metadata.merging(
                        ["error": "\(error)", "wait_ms": "\(Int(delay.milliseconds))"]) { $1 })
                try await clock.sleep(for: delay)
            }
        }
    }

    private func append(_ bytes: ByteBuffer, of block: EncodedBlock) throws {
        let key = Key(table: block.table, layout: block.layout)
        let file = try files[key] ?? openFile(key)
        do {
            try file.append(bytes, of: block)
        } catch let error as FileError where error.code == .truncateFailed {
            // Nothing may be written behind half a block.
            closeFile(key)
            throw error
        }
        telemetry.blocksInFlight.add()
        telemetry.rowsInFlight.add(block.rows)
        if file.length >= settings.rollBytes {
            closeFile(key)
        } else if file.unsyncedBytes >= Self.unsyncedBytesMax {
            sync(key)
        }
    }

    private func rewriteReturned() async throws {
        while !returned.isEmpty {
            let block = returned.removeFirst()
            do {
                try await store(block)
            } catch {
                returned.insert(block, at: 0)
                throw error
            }
        }
    }

    private func announce() async {
        while !confirmed.isEmpty {
            let blocks = confirmed
            confirmed = []
            for block in blocks {
                telemetry.committed(rows: block.rows, bytes: block.rawBytes, into: telemetry.table(block.table))
                telemetry.endToEndLatency.observe(clock.now - block.firstReceived)
                held.subtract(block.rows)
                await committed(block)
            }
            health.insertSucceeded()
        }
    }

    // MARK: Files

    private func openFile(_ key: Key) throws -> NativeFile {
        if files.count >= Self.openFilesMax, let oldest = files.min(by: { $0.value.openedAt < $1.value.openedAt }) {
            closeFile(oldest.key)
        }
        let file = try NativeFile.create(freeName(key.table), at: clock.now, calls: calls)
        files[key] = file
        return file
    }

    /// A name that no file has, whatever clocks do.
    private func freeName(_ table: TableName) -> NativeFileName {
        while true {
            lastNumber += 1
            let name = NativeFileName(
                in: settings.directory, table: table, time: Date(), number: lastNumber,
                compression: settings.compression)
            if access(name.path, F_OK) != 0, access(name.temporaryPath, F_OK) != 0 { return name }
        }
    }

    /// On the disk, with its name, and no longer written to.
    private func closeFile(_ key: Key) {
        sync(key)
        guard let file = files.removeValue(forKey: key) else { return }
        unpublished.append(file)
        publishClosed()
    }

    /// A file that cannot be synced is given up: the system may have dropped what was written, and will not say so a
    /// second time. Its unsynced blocks go to another file.
    private func sync(_ key: Key) {
        guard let file = files[key], !file.unsynced.isEmpty else { return }
        let start = clock.now
        var settled: [EncodedBlock] = []
        do {
            settled = try file.sync()
            confirmed += settled
            telemetry.insertLatency.observe(clock.now - start)
        } catch {
            logger.error("file cannot be synced", metadata: ["error": "\(error)"])
            health.insertFailed(.query)
            settled = file.abandon()
            returned += settled
            files[key] = nil
            unpublished.append(file)
        }
        telemetry.blocksInFlight.subtract(settled.count)
        telemetry.rowsInFlight.subtract(settled.reduce(0) { $0 + $1.rows })
    }

    private func publishClosed() {
        unpublished.removeAll { file in
            do {
                try file.publish()
                return true
            } catch {
                logger.error("file cannot be given its name", metadata: ["error": "\(error)"])
                health.insertFailed(.query)
                return false
            }
        }
    }

    private var backoff: Backoff {
        Backoff(min: Self.retryDelayMin, max: Self.retryDelayMax, random: { Double.random(in: 0..<1) })
    }
}
