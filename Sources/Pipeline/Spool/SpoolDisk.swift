import NIOCore

/// The directory of a spool, as the spool uses it. Injected, so that tests decide what a disk loses, and when.
///
/// Not for several threads at once, but for `open`ed files, which a reader may use beside the writer.
public protocol SpoolDisk: Sendable {
    /// Names of all files.
    func names() throws(SpoolDiskError) -> [String]
    /// A new, empty file; its name is durable when this returns.
    func create(_ name: String) throws(SpoolDiskError) -> any SpoolFile
    func open(_ name: String) throws(SpoolDiskError) -> any SpoolFile
    /// An empty file whose first bytes have their place on the disk already: writing them never fails for want of room. A file of the name
    /// is made to be one.
    func reserve(_ name: String, bytes: Int) throws(SpoolDiskError)
    /// Gone already is as good.
    func remove(_ name: String) throws(SpoolDiskError)
    /// Replaces `to`; durable when this returns.
    func rename(_ name: String, to: String) throws(SpoolDiskError)
    /// Bytes that may still be written; nil: not known.
    func freeBytes() -> Int?
}

/// A file of the spool.
public protocol SpoolFile: AnyObject, Sendable {
    func length() throws(SpoolDiskError) -> Int
    /// Writes all of it at an offset. When it throws, any part of it may have arrived.
    func write(_ bytes: ByteBuffer, at offset: Int) throws(SpoolDiskError)
    /// The same with pieces that are to lie one behind the other.
    func write(_ pieces: [ByteBuffer], at offset: Int) throws(SpoolDiskError)
    /// Appends to a buffer what is there from an offset on, at most `count` bytes; less only at the end of the file.
    func read(at offset: Int, count: Int, into buffer: inout ByteBuffer) throws(SpoolDiskError)
    /// Returns when what was written is durable.
    func sync() throws(SpoolDiskError)
    func truncate(to length: Int) throws(SpoolDiskError)
}

extension SpoolFile {
    public func read(at offset: Int, count: Int) throws(SpoolDiskError) -> ByteBuffer {
        var buffer = ByteBuffer()
        try read(at: offset, count: count, into: &buffer)
        return buffer
    }

    public func write(_ pieces: [ByteBuffer], at offset: Int) throws(SpoolDiskError) {
        var whole = ByteBuffer()
        whole.reserveCapacity(pieces.reduce(0) { $0 + $1.readableBytes })
        for piece in pieces { whole.writeImmutableBuffer(piece) }
        try write(whole, at: offset)
    }
}

/// What a disk answered.
public struct SpoolDiskError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Call: String, Sendable, CaseIterable {
        case list, create, open, write, read, sync, truncate, remove, rename, lock, reserve
    }

    public let call: Call
    public let name: String
    /// errno.
    public let number: Int32

    public init(_ call: Call, _ name: String, _ number: Int32) {
        self.call = call
        self.name = name
        self.number = number
    }

    public var description: String {
        "cannot \(call.rawValue) \(name): \(SystemSpoolDisk.text(of: number)) (errno \(number))"
    }

    /// The file system, or somebody's share of it, is full.
    public var isOutOfSpace: Bool { number == SystemSpoolDisk.full || number == SystemSpoolDisk.overQuota }

    /// A word for metrics: the set is bounded.
    public var reason: String {
        switch number {
        case SystemSpoolDisk.full: "disk_full"
        case SystemSpoolDisk.overQuota: "over_quota"
        default: "\(call.rawValue)_failed"
        }
    }
}
