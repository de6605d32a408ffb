import ClickHouseNative
import NIOCore

// What is read back from the spool.
extension SpoolCore {
    /// A rows record as it lies on disk.
    public struct StoredRows: Sendable {
        public let lsn: UInt64
        public let location: SpoolLocation
        public let body: ByteBuffer
        let head: SpoolFormat.RowsHead
        /// Where to go on.
        public let next: SpoolLocation

        public var rows: [Int] { head.parts.map(\.rows) }
        public var spans: [ProducerSpan] { head.spans }
        /// Milliseconds since 1970.
        public var received: Int64 { head.received }

        /// The rows of some parts (nil: all), as row batches. Nothing of the spool is touched: to be called off its thread.
        ///
        /// - Parameters:
        ///   - keepsFrames: whether rows may stay in the frames that they lie in, for blocks to take over.
        ///   - layouts: what the tables' blocks looked like before.
        public func batches(
            parts: [Int]? = nil, now: ContinuousClock.Instant, keepsFrames: Bool = false,
            layouts: StoredLayouts = StoredLayouts()
        ) throws -> [RowBatch] {
            let blocks = StoredBlocks(layouts)
            return try (parts ?? Array(head.parts.indices)).map { place in
                let part = head.parts[place]
                return RowBatch(
                    table: part.table,
                    part: keepsFrames ? try blocks.part(part, of: body) : BlockPart(try blocks.read(part, of: body)),
                    firstReceived: now, place: SpoolPlace(lsn: lsn, part: place))
            }
        }
    }

    public enum Reading: Sendable {
        case rows(StoredRows)
        /// Something was lost here.
        case damage(next: SpoolLocation)
        /// There is no more.
        case end
    }
}
