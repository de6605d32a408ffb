import ClickHouseNative
import Logging
import NIOCore
import Pipeline

extension BlockEncoding {
    /// Whether a body that was written for one is right for the other: revisions that differ in nothing that a block
    /// shows are the same to it.
    func fits(_ revision: Revision) -> Bool {
        guard let own = self.revision else { return false }
        let features: [Revision.Feature] = [.customSerialization, .outOfOrderBuckets, .stringSizesApart]
        return features.allSatisfy { own.supports($0) == revision.supports($0) }
    }
}

extension EncodedBlock {
    /// The bytes as a server of this revision reads them. Another host may speak another revision than the one that the
    /// block was encoded for.
    func body(for revision: Revision) throws -> ByteBuffer {
        guard !encoding.fits(revision) else { return body }
        return try body(as: BlockEncoding(revision: revision, compression: encoding.compression))
    }

    /// Reads the body and writes it anew where it is not as wanted, which takes its raw size in memory while it lasts.
    ///
    /// - Throws: `FrameError` or `BlockError` when the body is not what `encoding` says.
    func body(as target: BlockEncoding) throws -> ByteBuffer {
        guard encoding != target else { return body }
        var bytes = body
        var raw = bytes
        if encoding.compression != nil { raw = try FrameReader.readAll(&bytes) }
        guard let block = try BlockReader.read(&raw, revision: encoding.revision) else {
            throw BlockError(.malformed, "an encoded block is cut off")
        }
        return try BlockEncoder.encode([block], as: target).body
    }

    var metadata: Logger.Metadata {
        ["table": "\(table)", "block": "\(id)", "rows": "\(rows)"]
    }
}
