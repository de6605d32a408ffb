#if DEBUG
    import Foundation
    import NIOCore
    import Synchronization

    /// A disk that kills the process before one of its calls. For `scripts/chaos`, and only in builds with assertions.
    public final class KillingSpoolDisk: SpoolDisk {
        private let disk: any SpoolDisk
        private let left: Countdown

        /// - Parameter calls: that still go through.
        public init(_ disk: any SpoolDisk, after calls: Int) {
            self.disk = disk
            left = Countdown(calls)
        }

        public func names() throws(SpoolDiskError) -> [String] { try disk.names() }
        public func freeBytes() -> Int? { disk.freeBytes() }

        public func create(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
            left.count()
            return KillingSpoolFile(try disk.create(name), left)
        }

        public func open(_ name: String) throws(SpoolDiskError) -> any SpoolFile {
            KillingSpoolFile(try disk.open(name), left)
        }

        public func reserve(_ name: String, bytes: Int) throws(SpoolDiskError) {
            left.count()
            try disk.reserve(name, bytes: bytes)
        }

        public func remove(_ name: String) throws(SpoolDiskError) {
            left.count()
            try disk.remove(name)
        }

        public func rename(_ name: String, to: String) throws(SpoolDiskError) {
            left.count()
            try disk.rename(name, to: to)
        }
    }

    private final class Countdown: Sendable {
        private let left: Atomic<Int>

        init(_ calls: Int) { left = Atomic(calls) }

        func count() {
            if left.wrappingSubtract(1, ordering: .relaxed).newValue < 0 { kill(getpid(), SIGKILL) }
        }
    }

    private final class KillingSpoolFile: SpoolFile {
        private let file: any SpoolFile
        private let left: Countdown

        init(_ file: any SpoolFile, _ left: Countdown) {
            self.file = file
            self.left = left
        }

        func length() throws(SpoolDiskError) -> Int { try file.length() }
        func read(at offset: Int, count: Int, into buffer: inout ByteBuffer) throws(SpoolDiskError) {
            try file.read(at: offset, count: count, into: &buffer)
        }

        func write(_ bytes: ByteBuffer, at offset: Int) throws(SpoolDiskError) {
            left.count()
            // Half of it, then the other: a write may be torn.
            let half = bytes.readableBytes / 2
            if let first = bytes.getSlice(at: bytes.readerIndex, length: half) { try file.write(first, at: offset) }
            left.count()
            try file.write(bytes, at: offset)
        }

        func sync() throws(SpoolDiskError) {
            left.count()
            try file.sync()
            left.count()
        }

        func truncate(to length: Int) throws(SpoolDiskError) {
            left.count()
            try file.truncate(to: length)
        }
    }
#endif
