import ClickHouseNative
import Logging
import NIOCore
import Pipeline

extension EncodedBlock {
    /// The bytes as a server of this revision reads them. Another host may speak another revision than the one that the
    /// block was encoded for.
    func bytes(for revision: Revision) throws -> BlockBody {
        let target = BlockEncoding(revision: revision, compression: encoding.compression)
        return BlockTranscoder.isNeeded(from: encoding, to: target) ? BlockBody(try body(as: target)) : bytes
    }

    /// Reads the body and writes it anew where it is not as wanted, which takes its raw size in memory while it lasts.
    ///
    /// - Throws: `TranscodeError` when the body is not what `encoding` says.
    func body(as target: BlockEncoding) throws -> ByteBuffer {
        try BlockTranscoder.transcode(body, from: encoding, to: target)
    }

    var metadata: Logger.Metadata {
        ["table": "\(table)", "block": "\(id)", "rows": "\(rows)"]
    }
}
