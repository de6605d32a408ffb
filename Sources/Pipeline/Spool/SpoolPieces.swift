import NIOCore

/// Records on their way to a segment, in as few copies as it takes: short ones are collected, long bodies are written as they lie.
struct SpoolPieces {
    /// A body of at least so many bytes is a piece of its own.
    private static let ownPieceBytesMin = 16 << 10

    private var whole: [ByteBuffer] = []
    private var collected = ByteBuffer()
    /// Of all records.
    private(set) var bytes = 0

    mutating func append(_ record: PreparedRecord, lsn: UInt64) {
        bytes += record.bytes
        guard record.body.readableBytes >= Self.ownPieceBytesMin else {
            SpoolFormat.write(record, lsn: lsn, into: &collected)
            return
        }
        SpoolFormat.writeHead(of: record, lsn: lsn, into: &collected)
        whole.append(collected)
        whole.append(record.body)
        collected = ByteBuffer()
        SpoolFormat.writePadding(of: record, into: &collected)
    }

    /// In the order in which they are to lie in the file.
    var pieces: [ByteBuffer] { collected.readableBytes > 0 ? whole + [collected] : whole }
}
